"""Reads records, adds a value to each, and writes them again.

Lines of JSON: store, secret, encryptor, key, cookie; of Redis the record in base64.
"""

import base64
import json
import os
import sys

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from itsdangerous import TimestampSigner

for line in sys.stdin:
    store, secret, encryptor, key, text = json.loads(line)
    signer = TimestampSigner(secret)
    data = base64.b64decode(signer.unsign(text, max_age=60) if store == "cookie" else text)
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
    data = base64.b64encode(data)
    print((signer.sign(data) if store == "cookie" else data).decode())
