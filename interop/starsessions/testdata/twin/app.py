"""The application that the tests drive beside one in Go. Its only argument is JSON."""

import asyncio
import base64
import json
import socket
import sys

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starsessions import SessionMiddleware, load_session, regenerate_session_id
from starsessions.encryptors import AESGCMEncryptor, FernetEncryptor, NoopEncryptor
from starsessions.stores.cookie import CookieStore
from starsessions.stores.redis import RedisStore

configs = json.loads(sys.argv[1])  # by name, which is the first part of the path


def store(config):
    if config["store"] == "cookie":
        return CookieStore(config["secret"])
    connection = Redis(port=config["redis"])
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


async def ready(request):
    return JSONResponse("ready")


class Tolerant(JSONResponse):
    """Python's own JSON, which has NaN and halves of surrogates."""

    def render(self, content):
        return json.dumps(content).encode()


def application(config):
    middleware = Middleware(
        SessionMiddleware,
        store=store(config),
        lifetime=config["lifetime"],
        rolling=config["rolling"],
        encryptor=encryptor(config),
    )
    return Starlette(routes=[Route("/", act)], middleware=[middleware])


routes = [Mount("/" + name, app=application(config)) for name, config in configs.items()]
app = Starlette(routes=[Route("/", ready)] + routes)

# With the protocol named asyncio sets TCP_NODELAY; without, each answer takes 40 ms.
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
