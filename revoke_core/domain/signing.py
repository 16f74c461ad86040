"""Links that open one request for reading without a key, and fingerprints that name a caller without its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Final

LINK_LIFETIME: Final = timedelta(hours=48)
_SIGNATURE: Final = re.compile(r"(\d{1,12})\.([A-Za-z0-9_-]{43})")


def signature(key: bytes, request_id: str, now: datetime) -> str:
    """A signature for reading one request, good for 48 hours: expiry in Unix seconds, a dot, HMAC-SHA256."""
    expires = int((now + LINK_LIFETIME).timestamp())
    return f"{expires}.{_digest(key, f'read:{request_id}:{expires}')}"


def is_valid(key: bytes, request_id: str, text: str, now: datetime) -> bool:
    """Whether the text is our unexpired signature for this very request."""
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        return False
    expires = int(match[1])
    return hmac.compare_digest(match[2], _digest(key, f"read:{request_id}:{expires}")) and now.timestamp() < expires


def fingerprint(key: bytes, secret: str) -> str:
    """A stable name for the holder of a secret; a guess cannot be tested against it without the app's key."""
    return hmac.new(key, f"caller:{secret}".encode(), hashlib.sha256).hexdigest()[:16]


def _digest(key: bytes, message: str) -> str:
    mac = hmac.new(key, message.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")
