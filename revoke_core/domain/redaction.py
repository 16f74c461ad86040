"""Takes secrets out of text that somebody else wrote before it is kept or logged."""

from __future__ import annotations

import re
from typing import Final

KEPT_TEXT: Final = 2000
REPLACEMENT: Final = "[redacted]"

_SECRETS: Final = (
    re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)(?<=AccountKey=)[^;\s\"'&]+"),
    re.compile(r"(?i)(?<=SharedAccessSignature=)[^;\s\"']+"),
    re.compile(r"(?i)(?<=[?&;\s\"'](?:sig)=)[^&\s\"']+"),
    re.compile(r"(?i)(?<=^sig=)[^&\s\"']+"),
    re.compile(r"(?i)(?<=[?&;\s\"'](?:code)=)[^&\s\"']+"),
    re.compile(r"(?i)(?<=^code=)[^&\s\"']+"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{8,}=*"),
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x1b]")


def redacted(text: str) -> str:
    """The text without tokens, account keys, signatures, function keys and control characters."""
    cleaned = text
    for secret in _SECRETS:
        cleaned = secret.sub(REPLACEMENT, cleaned)
    return _CONTROLS.sub("\ufffd", cleaned)


def kept(text: str) -> str:
    """An unreadable message as it may be stored: redacted, at most 2,000 characters.

    Redacted before it is cut, so that a cut never leaves half a secret behind.
    """
    cleaned = redacted(text).encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= KEPT_TEXT else cleaned[: KEPT_TEXT - 1] + "…"
