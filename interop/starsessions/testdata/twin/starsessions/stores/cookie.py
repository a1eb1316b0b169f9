import base64

from itsdangerous import BadSignature, TimestampSigner


class CookieStore:
    def __init__(self, secret_key):
        self.signer = TimestampSigner(str(secret_key))

    async def read(self, session_id, lifetime):
        try:
            text = self.signer.unsign(session_id, max_age=lifetime or 360 * 24 * 3600)
            return base64.b64decode(text)
        except BadSignature:
            return b""

    async def write(self, session_id, data, lifetime, ttl):
        return self.signer.sign(base64.b64encode(data)).decode()

    async def remove(self, session_id):
        pass
