"""Takes secrets out of text from outside the app before it is kept, shown or logged.

Every pattern is linear: what a quantifier matches cannot begin again inside itself. Text of any length is cut before it
is looked at, at the end of a word, so that no half of a secret is left.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

KEPT_TEXT: Final = 2000
_LONGEST_REDACTED: Final = 16_000
_GONE: Final = "[redacted]"

_NAMES: Final = (
    r"AccountKey|SharedAccessKey|SharedAccessSignature|sig|code|client[_-]?secret|client[_-]?assertion|"
    r"(?:access|refresh|id)[_-]token|x-functions-key|x-identity-header|api[_-]?key|password|pwd|secret"
)
# A name as a parameter, a header, a member or a part of a connection string; "\u0026" is how JSON writes "&".
_NAMED: Final = re.compile(
    rf"(?i)((?:(?<![A-Za-z0-9_-])|(?<=\\u0026))(?:{_NAMES})(?:\\?[\"'])?[ \t]{{0,8}}[=:][ \t]{{0,8}}(?:\\?[\"'])?)"
    r"[^\s\"'&;,<>()\\]+"
)
# A callback URL is as good as a key, whatever the names in its query are; JSON may write its slashes as "\\/".
_CALLBACK: Final = re.compile(
    r"(?i)(callback[_-]?url(?:\\?[\"'])?[ \t]{0,8}[=:][ \t]{0,8}(?:\\?[\"'])?)(?:[^\s\"'<>\\]|\\(?=[/u]))+"
)
_BEARER: Final = re.compile(r"(?i)(bearer[ \t]{1,8})[A-Za-z0-9._~+/=-]{8,}")
# One run of the characters of tokens and of base64; whether it holds a secret is looked up in the run itself.
_RUN: Final = re.compile(r"[A-Za-z0-9._+/=-]{12,}")
_TOKEN_HEAD: Final = "eyJ"  # noqa: S105 -- how every JSON web token begins
_SHORTEST_BASE64: Final = 16
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def redacted(text: str) -> str:
    """The text without tokens, account keys, signatures, function keys and control characters, fit to be stored.

    At most 16,000 characters of it; lone surrogates become question marks.
    """
    if len(text) > _LONGEST_REDACTED:
        # At most a word of 2,000 characters goes with what is cut off.
        safe = _LONGEST_REDACTED - KEPT_TEXT
        text = text[: max(safe, text.rfind(" ", safe, _LONGEST_REDACTED))] + "…"
    text = _RUN.sub(_without_token, _named_gone(text))
    return _CONTROLS.sub("\ufffd", storable(text))


def storable(text: str) -> str:
    """The text as UTF-8 can carry it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def truncate_redacted(text: str) -> str:
    """An unreadable message as it may be stored: redacted, at most 2,000 characters.

    Redacted before it is cut, so that a cut never leaves half a secret behind.
    """
    return short(redacted(text), KEPT_TEXT)


def short(text: str, longest: int = 120) -> str:
    """A text cut to at most so many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _named_gone(text: str) -> str:
    for pattern in (_CALLBACK, _BEARER, _NAMED):
        text = pattern.sub(rf"\1{_GONE}", text)
    return text


def _without_token(run: re.Match[str]) -> str:
    """A run of characters without the token in it, or nothing of it when it is base64 of a text with a secret."""
    text = run[0]
    if (head := _token_at(text)) is not None:
        return text[:head] + _GONE
    decoded = _from_base64(text)
    return _GONE if _named_gone(decoded) != decoded or _token_at(decoded) is not None else text


def _token_at(text: str) -> int | None:
    """Where a JSON web token begins."""
    head = text.find(_TOKEN_HEAD)
    return head if head >= 0 and text.find(".", head + len(_TOKEN_HEAD) + 5) >= 0 else None


def _from_base64(text: str) -> str:
    """The text that base64 stands for, in UTF-8 or UTF-16; an empty one for anything else."""
    if len(text) < _SHORTEST_BASE64:
        return ""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return content.decode("utf-16-le" if b"\x00" in content[:4] else "utf-8", "replace")
