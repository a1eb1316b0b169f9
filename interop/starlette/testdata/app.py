"""Starlette's own SessionMiddleware. Its only argument is JSON: configurations by name."""

import json
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route


class Tolerant(JSONResponse):
    def render(self, content):
        return json.dumps(content).encode()


async def act(request):
    session = request.session
    for name, value in request.query_params.multi_items():
        if name == "incr":
            session[value] = session.get(value, 0) + 1
        elif name == "login":
            session["user"] = value
        elif name == "logout":
            session.clear()
        elif name == "set":
            session.update(json.loads(value))
    return Tolerant({"session": session})


async def ready(request):
    return JSONResponse("ready")


def application(config):
    middleware = Middleware(SessionMiddleware, secret_key=config["secret"], max_age=config["max_age"], https_only=True)
    return Starlette(routes=[Route("/", act)], middleware=[middleware])


configs = json.loads(sys.argv[1])
routes = [Mount("/" + name, app=application(config)) for name, config in configs.items()]
# With the protocol named asyncio sets TCP_NODELAY; without, each answer takes 40 ms.
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
app = Starlette(routes=[Route("/", ready)] + routes)
uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
