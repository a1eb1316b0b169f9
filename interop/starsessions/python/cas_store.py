"""A RedisStore for starsessions that does not undo what others wrote meanwhile.

starsessions saves every session that a request has loaded, changed or not. Its own
RedisStore writes unconditionally, so a request that only reads the session puts back
what it has read: a change that another request made in between is undone, and a session
that was logged out in between is logged in again.

This store writes only if the record is still the one that the request has read. Who
comes too late is not written. So a request that does change the session, and is too
late, has its change dropped: the first one wins, where it was the last one.

    from cas_store import CASRedisStore
    app.add_middleware(SessionMiddleware, store=CASRedisStore(connection=...), ...)

What a request has read is kept in a context variable. A middleware made of Starlette's
BaseHTTPMiddleware between SessionMiddleware and the handler runs the handler in a task
of its own, where the variable is not seen; then this store can't tell, and writes as
RedisStore does. Use plain ASGI middleware there.
"""

import contextvars
import logging

from starsessions.stores.redis import RedisStore

__all__ = ["CASRedisStore"]

logger = logging.getLogger(__name__)

# What this request has read, by session ID.
_seen = contextvars.ContextVar("cas_store_seen", default=None)

_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class CASRedisStore(RedisStore):
    async def read(self, session_id, lifetime):
        data = await super().read(session_id, lifetime)
        _seen.set({**(_seen.get() or {}), session_id: data})
        return data

    async def write(self, session_id, data, lifetime, ttl):
        before = (_seen.get() or {}).get(session_id)
        if before is None:  # a new session, or a new ID
            return await super().write(session_id, data, lifetime, ttl)
        life = max(1, self.gc_ttl if lifetime == 0 else ttl)
        if await self._connection.eval(_SWAP, 1, self.prefix(session_id), before, data, life):
            _seen.set({**_seen.get(), session_id: data})
        else:
            logger.info("the session was changed or ended meanwhile; nothing was written")
        return session_id
