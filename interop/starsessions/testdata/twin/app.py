"""Applications that the tests drive beside one in Go.

The path is the configuration, as JSON in base64url: so one process serves all tests.
"""

import asyncio
import base64
import json
import socket

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionMiddleware, load_session, regenerate_session_id
from starsessions.encryptors import AESGCMEncryptor, FernetEncryptor, NoopEncryptor
from starsessions.stores.cookie import CookieStore
from starsessions.stores.redis import RedisStore


def store(config, connection):
    if config["store"] == "cookie":
        return CookieStore(config["secret"])
    if config["store"] == "cas":
        from cas_store import CASRedisStore

        return CASRedisStore(connection=connection)
    return RedisStore(connection=connection)


def encryptor(config):
    key = config.get("key")
    return {
        "none": lambda: NoopEncryptor(),
        "fernet": lambda: FernetEncryptor(key),
        "aesgcm": lambda: AESGCMEncryptor(base64.urlsafe_b64decode(key)),
    }[config["encryptor"]]()


async def act(request):
    await load_session(request)
    session, query = request.session, request.query_params
    for name, value in query.multi_items():
        if name == "sleep":
            await asyncio.sleep(float(value))
        elif name == "hold":  # says that the session is loaded, and waits to be let go
            redis = request.app.state.redis
            await redis.rpush(value + ":there", 1)
            await redis.blpop(value + ":go", 30)
        elif name == "incr":
            session[value] = session.get(value, 0) + 1
        elif name == "login":
            regenerate_session_id(request)
            session["user"] = value
        elif name == "logout":
            session.clear()
        elif name == "set":
            session.update(json.loads(value))
    return Tolerant({"session": dict(session), "metadata": request.scope["session_handler"].metadata})


class Tolerant(JSONResponse):
    """Python's own JSON, which has NaN and halves of surrogates."""

    def render(self, content):
        return json.dumps(content).encode()


class Between(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


def application(config):
    connection = Redis(port=config["redis"])
    sessions = Middleware(
        SessionMiddleware,
        store=store(config, connection),
        lifetime=config["lifetime"],
        rolling=config["rolling"],
        encryptor=encryptor(config),
    )
    between = [Middleware(Between)] if config["between"] else []
    app = Starlette(routes=[Route("/", act)], middleware=[sessions] + between)
    app.state.redis = connection
    return app


applications = {}


async def app(scope, receive, send):
    name = scope["path"].strip("/")
    if not name:
        return await JSONResponse("ready")(scope, receive, send)
    if name not in applications:
        applications[name] = application(json.loads(base64.urlsafe_b64decode(name)))
    await applications[name]({**scope, "path": "/"}, receive, send)


# With the protocol named asyncio sets TCP_NODELAY; without, each answer takes 40 ms.
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
