"""The Python half of the site; main.go has the other. Starlette alone takes the same middleware."""

import html
import os

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

PAGE = """<!doctype html><title>Python</title>
<p>Python: {who}</p>
<p><a href="/">to Go</a></p>
<form method="post" action="/py/login?user=ada"><button>Log in as ada</button></form>
<form method="post" action="/py/logout"><button>Log out</button></form>
"""

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"], https_only=True)


@app.get("/py/", response_class=HTMLResponse)
async def home(request: Request):
    who = "nobody"
    if "user" in request.session:
        request.session["visits"] = request.session.get("visits", 0) + 1
        who = f"{html.escape(request.session['user'])}, {request.session['visits']} visits in both halves"
    return PAGE.format(who=who)


@app.post("/py/login")
async def login(request: Request, user: str):  # a real one asks for a password
    request.session.clear()
    request.session["user"] = user
    return RedirectResponse("/py/", status_code=303)


@app.post("/py/logout")
async def logout(request: Request):
    request.session.clear()
    return RedirectResponse("/py/", status_code=303)
