"""The Python half of the site; main.go has the other. FastAPI takes the same middleware."""

import html
import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

PAGE = """<!doctype html><title>Python</title>
<p>Python: {who}</p>
<p><a href="/">to Go</a></p>
<form method="post" action="/py/login?user=ada"><button>Log in as ada</button></form>
<form method="post" action="/py/logout"><button>Log out</button></form>
"""


async def home(request):
    who = "nobody"
    if "user" in request.session:
        request.session["visits"] = request.session.get("visits", 0) + 1
        who = f"{html.escape(request.session['user'])}, {request.session['visits']} visits in both halves"
    return HTMLResponse(PAGE.format(who=who))


async def login(request):  # a real one asks for a password
    request.session.clear()
    request.session["user"] = request.query_params["user"]
    return RedirectResponse("/py/", status_code=303)


async def logout(request):
    request.session.clear()
    return RedirectResponse("/py/", status_code=303)


app = Starlette(
    routes=[
        Route("/py/", home),
        Route("/py/login", login, methods=["POST"]),
        Route("/py/logout", logout, methods=["POST"]),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"], https_only=True)],
)
