"""Takes secrets out of text from outside the app before it is kept or logged."""

from __future__ import annotations

import re
from typing import Final

KEPT_TEXT: Final = 2000

# The first group stays, the rest is replaced.
_SECRETS: Final = (
    re.compile(r"()eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)(AccountKey=)[^;\s\"'&]+"),
    re.compile(r"(?i)(SharedAccessSignature=)[^;\s\"']+"),
    re.compile(r"(?i)((?:^|[?&;\s\"'])(?:sig|code)=)[^&\s\"']+"),
    re.compile(r"(?i)(bearer )[A-Za-z0-9._~+/-]{8,}=*"),
)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def redacted(text: str) -> str:
    """The text without tokens, account keys, signatures, function keys and control characters."""
    for secret in _SECRETS:
        text = secret.sub(r"\1[redacted]", text)
    return _CONTROLS.sub("\ufffd", text)


def truncate_redacted(text: str) -> str:
    """An unreadable message as it may be stored: redacted, at most 2,000 characters.

    Redacted before it is cut, so that a cut never leaves half a secret behind.
    """
    return short(redacted(text).encode("utf-8", "replace").decode(), KEPT_TEXT)


def short(text: str, longest: int = 120) -> str:
    """A text cut to at most so many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
