import os

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class NoopEncryptor:
    async def encrypt(self, data):
        return data

    async def decrypt(self, data):
        return data


class FernetEncryptor:
    def __init__(self, key):
        self.fernet = Fernet(key)

    async def encrypt(self, data):
        return self.fernet.encrypt(data)

    async def decrypt(self, data):
        return self.fernet.decrypt(data)


class AESGCMEncryptor:
    def __init__(self, key):
        self.aead = AESGCM(key)

    async def encrypt(self, data):
        nonce = os.urandom(12)
        return nonce + self.aead.encrypt(nonce, data, None)

    async def decrypt(self, data):
        return self.aead.decrypt(data[:12], data[12:], None)
