class RedisStore:
    def __init__(self, connection, prefix="starsessions.", gc_ttl=30 * 24 * 3600):
        self._connection, self.gc_ttl = connection, gc_ttl
        self.prefix = lambda session_id: prefix + session_id

    async def read(self, session_id, lifetime):
        return await self._connection.get(self.prefix(session_id)) or b""

    async def write(self, session_id, data, lifetime, ttl):
        life = max(1, self.gc_ttl if lifetime == 0 else ttl)
        await self._connection.set(self.prefix(session_id), data, ex=life)
        return session_id

    async def remove(self, session_id):
        await self._connection.delete(self.prefix(session_id))
