"""aiohttp-session's own code. Its only argument is JSON: configurations by name."""

import base64
import json
import socket
import sys

import redis.asyncio
from aiohttp import web

# Debian's aiohttp-session asks for aioredis 2, which redis.asyncio is today.
redis.asyncio.__version__ = "2.0.1"
sys.modules["aioredis"] = redis.asyncio

from aiohttp_session import get_session, new_session, setup  # noqa: E402
from aiohttp_session.cookie_storage import EncryptedCookieStorage  # noqa: E402
from aiohttp_session.redis_storage import RedisStorage  # noqa: E402


async def act(request):
    session = await get_session(request)
    for name, value in request.query.items():
        if name == "incr":
            session[value] = session.get(value, 0) + 1
        elif name == "login":
            session = await new_session(request)
            session["user"] = value
        elif name == "logout":
            session.invalidate()
        elif name == "set":
            for key, one in json.loads(value).items():
                session[key] = one
        elif name == "hold":  # says that the session is loaded, and waits to be let go
            await request.app["redis"].rpush(value + ":there", 1)
            await request.app["redis"].blpop(value + ":go", 30)
    return web.json_response({"session": dict(session), "created": session.created})


async def application(config):
    app = web.Application()
    app["redis"] = redis.asyncio.Redis(port=config["redis"])
    if config["store"] == "cookie":
        storage = EncryptedCookieStorage(base64.urlsafe_b64decode(config["key"]), max_age=config["max_age"])
    else:
        storage = RedisStorage(app["redis"], max_age=config["max_age"])
    setup(app, storage)
    app.router.add_get("/", act)
    return app


async def ready(request):
    return web.json_response("ready")


async def main():
    root = web.Application()
    root.router.add_get("/", ready)
    for name, config in json.loads(sys.argv[1]).items():
        root.add_subapp("/" + name, await application(config))
    return root


# With the protocol named asyncio sets TCP_NODELAY; without, each answer takes 40 ms.
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(main(), sock=listener, print=None)
