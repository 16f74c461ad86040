"""Request messages that wait: one that cannot be carried out now goes back to its queue, with its age and its first id.

A message that is put back is a new one to the queue: it has another id and another age. Both are carried in its text,
so that the message keeps its idempotency key (nobody is revoked twice) and its 24 hours.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from revoke_core.domain.schedules import LIFETIME, LONGEST_PAUSE
from revoke_core.domain.timestamps import parsed_or_none, written

FIRST_PAUSE: Final = timedelta(seconds=10)
_NAME: Final = "redelivery"
_FIELDS: Final = frozenset({"messageId", "insertedAt", "givenBack", "text"})
# A queue message has at most 64 KiB; what is longer unpacked was not packed here.
_LARGEST_TEXT: Final = 64 * 1024 + 1
_LONGEST_ID: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingMessage:
    """A request message as its sender put it: ``text``, its first id, when it was inserted, how often it went back."""

    text: str
    message_id: str
    inserted_at: datetime
    given_back: int = 0

    def is_too_old(self, now: datetime) -> bool:
        """Whether it has waited for a day and was tried before."""
        return self.given_back > 0 and now - self.inserted_at >= LIFETIME

    @property
    def pause(self) -> timedelta:
        """How long it stays hidden when it goes back: 10 seconds, doubling, at most 5 minutes."""
        return min(FIRST_PAUSE * (1 << min(self.given_back, 10)), LONGEST_PAUSE)

    def envelope(self) -> str:
        """Its text for the queue when it goes back once more; deflated, for it must not outgrow a message."""
        content = {
            "messageId": self.message_id,
            "insertedAt": written(self.inserted_at),
            "givenBack": self.given_back + 1,
            "text": base64.b64encode(zlib.compress(self.text.encode("utf-8", "replace"), 9)).decode(),
        }
        return json.dumps({_NAME: content}, separators=(",", ":"))


def received(text: str, message_id: str, inserted_at: datetime) -> WaitingMessage:
    """The message in what the queue delivered: as it was before it went back, or as it stands."""
    return _opened(text) or WaitingMessage(text=text, message_id=message_id, inserted_at=inserted_at)


def _opened(text: str) -> WaitingMessage | None:
    """The message in an envelope; ``None`` for any other text, which is then judged as its sender's own."""
    if not text.startswith(f'{{"{_NAME}":'):
        return None
    try:
        content: Any = json.loads(text)[_NAME]
        unpacker = zlib.decompressobj()
        original = unpacker.decompress(base64.b64decode(content["text"], validate=True), _LARGEST_TEXT)
        inserted_at = parsed_or_none(content["insertedAt"])
        given_back, message_id = content["givenBack"], content["messageId"]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error, zlib.error):
        return None
    is_known = set(content) == _FIELDS and isinstance(message_id, str) and type(given_back) is int
    if not is_known or inserted_at is None or given_back < 1 or len(message_id) > _LONGEST_ID or not unpacker.eof:
        return None
    return WaitingMessage(
        text=original.decode("utf-8", "replace"),
        message_id=message_id,
        inserted_at=inserted_at,
        given_back=given_back,
    )
