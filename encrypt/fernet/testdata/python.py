"""Answers a request on standard input with Python's Fernet.

The request and the answer are JSON; plaintexts are in hexadecimal.
"""

import json
import sys

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

request = json.load(sys.stdin)
fernet = MultiFernet([Fernet(key) for key in request["keys"]])


def decrypt(token):
    try:
        return fernet.decrypt(token.encode()).hex()
    except InvalidToken:
        return "refused"


json.dump(
    {
        "decrypted": [decrypt(token) for token in request["decrypt"]],
        "times": [
            Fernet(request["keys"][0]).extract_timestamp(token.encode())
            for token in request["times"]
        ],
        "encrypted": [
            fernet.encrypt(bytes.fromhex(text)).decode() for text in request["encrypt"]
        ],
        "rotated": [
            fernet.rotate(token.encode()).decode() for token in request["rotate"]
        ],
    },
    sys.stdout,
)
