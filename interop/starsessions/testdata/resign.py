"""Reads a cookie, adds a value, and writes it again: secret, encryptor, key, cookie."""

import base64
import json
import os
import sys

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from itsdangerous import TimestampSigner

secret, encryptor, key, cookie = sys.argv[1:]
signer = TimestampSigner(secret)
data = base64.b64decode(signer.unsign(cookie, max_age=60))
if encryptor == "fernet":
    data = Fernet(key).decrypt(data)
elif encryptor == "aesgcm":
    data = AESGCM(base64.urlsafe_b64decode(key)).decrypt(data[:12], data[12:], None)
session = json.loads(data)
session["python"] = "was here"
data = json.dumps(session).encode()
if encryptor == "fernet":
    data = Fernet(key).encrypt(data)
elif encryptor == "aesgcm":
    nonce = os.urandom(12)
    data = nonce + AESGCM(base64.urlsafe_b64decode(key)).encrypt(nonce, data, None)
print(signer.sign(base64.b64encode(data)).decode())
