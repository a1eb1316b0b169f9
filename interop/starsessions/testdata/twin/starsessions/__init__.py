"""A twin of the Python package starsessions, as far as its format goes.

starsessions is not in Debian, so the tests have this in its place. It was written for
them, from the format and the vectors that the real library made, and shares no code with
either side: JSON, itsdangerous and cryptography do the work. With the real package on the
path, the application in ../app.py runs on that.
"""

import json
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

METADATA = "__metadata__"


class SessionHandler:
    def __init__(self, connection, session_id, store, encryptor, lifetime):
        self.connection, self.store, self.encryptor = connection, store, encryptor
        self.session_id, self.lifetime = session_id, lifetime
        self.is_loaded = False
        self.initially_empty = True
        self.metadata = {}

    async def load(self):
        if self.is_loaded:
            return
        self.is_loaded = True
        data = {}
        if self.session_id:
            sealed = await self.store.read(session_id=self.session_id, lifetime=self.lifetime)
            if sealed:
                try:
                    data = json.loads(await self.encryptor.decrypt(sealed))
                except Exception:  # what does not open is no session
                    data = {}
        now = time.time()
        self.metadata = {"lifetime": self.lifetime, "created": now, "last_access": now}
        self.metadata.update(data.pop(METADATA, {}))
        self.metadata.update({"lifetime": self.lifetime, "last_access": now})
        self.initially_empty = not data
        self.connection.scope["session"].update(data)

    async def save(self, remaining):
        text = json.dumps({**self.connection.scope["session"], METADATA: self.metadata})
        self.session_id = await self.store.write(
            session_id=self.session_id or secrets.token_hex(16),
            data=await self.encryptor.encrypt(text.encode()),
            lifetime=self.lifetime,
            ttl=remaining,
        )
        return self.session_id

    async def destroy(self):
        if self.session_id:
            await self.store.remove(self.session_id)

    def regenerate_id(self):
        self.session_id = secrets.token_hex(16)


class SessionMiddleware:
    def __init__(self, app, store, lifetime=0, rolling=False, encryptor=None, cookie_name="session"):
        self.app, self.store, self.encryptor = app, store, encryptor
        self.lifetime, self.rolling, self.name = lifetime, rolling, cookie_name

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        sent = connection.cookies.get(self.name)
        handler = SessionHandler(connection, sent, self.store, self.encryptor, self.lifetime)
        scope["session"], scope["session_handler"] = {}, handler

        async def answer(message):
            if message["type"] == "http.response.start" and handler.is_loaded:
                headers = MutableHeaders(scope=message)
                if not scope["session"]:
                    if not handler.initially_empty:
                        headers.append("Set-Cookie", f"{self.name}=''; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; httponly; samesite=lax; secure")
                        await handler.destroy()
                else:
                    remaining = self.lifetime
                    if self.lifetime and not self.rolling:
                        remaining = int(handler.metadata["created"] + self.lifetime - time.time())
                    value = await handler.save(remaining)
                    if sent and sent != value:
                        await self.store.remove(sent)
                    age = f"max-age={remaining}; " if self.lifetime else ""
                    headers.append("Set-Cookie", f"{self.name}={value}; path=/; {age}httponly; samesite=lax; secure")
            await send(message)

        await self.app(scope, receive, answer)


async def load_session(connection):
    await connection.scope["session_handler"].load()


def regenerate_session_id(connection):
    connection.scope["session_handler"].regenerate_id()
