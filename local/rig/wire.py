"""How the app's storage and Graph calls look from outside: every name and shape that the rig goes by stands here.

Tables and queues: https://learn.microsoft.com/rest/api/storageservices. An entity-group transaction is one ``POST`` to
``$batch`` with the entities as JSON lines between HTTP request lines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.rig.proxy import Exchange

REQUESTS: Final = "Revocations"
USERS: Final = "RevocationUsers"
STATE: Final = "RevocationState"
DOOR: Final = "revocation-requests"
WORK: Final = "revocation-work"
POISON: Final = ("revocation-requests-poison", "revocation-work-poison")
RUN_ROW: Final = "run"
CLAIM: Final = "claim"
# A user's status can only go to the right; the last column is final.
ORDER: Final = {"pending": 0, "revoked": 1, "verified": 2, "skipped": 2, "planned": 2, "failed": 2}
FINAL_REQUEST: Final = ("succeeded", "partiallySucceeded", "failed", "cancelled", "planned")
NOT_PROCESSED: Final = "notProcessed"

_READS: Final = ("GET", "HEAD")
_SUCCESS: Final = range(200, 300)
_RESULTS: Final = ("revoked", "verified")
_LINE: Final = re.compile(rb"^(?:POST|PUT|PATCH|MERGE|DELETE) \S*?/([A-Za-z]\w+)(?:\(\S*\))? HTTP/1\.1", re.MULTILINE)
_PLACE: Final = re.compile(r"^/[^/?]+/([^/(?]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One entity that is written, and into which table."""

    table: str
    row: Mapping[str, Any]


def writes(exchange: Exchange) -> list[Write]:
    """The entities a table request inserts, updates or merges, those of a transaction included."""
    if exchange.side != "table" or exchange.method in _READS:
        return []
    place = _place(exchange)
    if place != "$batch":
        entity = _object(exchange.body)
        return [Write(table=place, row=entity)] if entity is not None else []
    lines = list(_LINE.finditer(exchange.body))
    ends = [*(line.start() for line in lines[1:]), len(exchange.body)]
    found = []
    for line, end in zip(lines, ends, strict=True):
        texts = (text.strip() for text in exchange.body[line.end() : end].splitlines())
        entity = next((_object(text) for text in texts if text.startswith(b"{")), None)
        if entity is not None:
            found.append(Write(table=line[1].decode(), row=entity))
    return found


def user_rows(exchange: Exchange) -> list[Mapping[str, Any]]:
    """The users among what is written."""
    return [write.row for write in writes(exchange) if write.table == USERS and write.row.get("RowKey") != RUN_ROW]


def claims(exchange: Exchange) -> bool:
    """An idempotency key is being claimed."""
    return any(write.table == STATE and write.row.get("PartitionKey") == CLAIM for write in writes(exchange))


def accepts(exchange: Exchange) -> bool:
    """A request's own row is being inserted."""
    return exchange.method == "POST" and any(
        write.table == REQUESTS and write.row.get("Status") not in FINAL_REQUEST for write in writes(exchange)
    )


def seeds(exchange: Exchange) -> bool:
    """Rows of users nobody has called Graph for are being written; the first such write is the plan's."""
    return any(row.get("Status") == "pending" and not row.get("Attempts") for row in user_rows(exchange))


def sends(exchange: Exchange) -> bool:
    """A call that revokes is on its way to Graph."""
    if exchange.side != "graph" or exchange.method != "POST":
        return False
    return b"revokeSignInSessions" in exchange.body or "revokeSignInSessions" in exchange.path


def tells_results(exchange: Exchange) -> bool:
    """Rows that say a user was revoked are being written."""
    return any(row.get("Status") in _RESULTS for row in user_rows(exchange))


def ends(exchange: Exchange) -> bool:
    """A request gets its last word."""
    return any(write.table == REQUESTS and write.row.get("Status") in FINAL_REQUEST for write in writes(exchange))


def continues(exchange: Exchange) -> bool:
    """A reference to work is being sent: the first by whoever accepts, the next by a worker that lets go."""
    return _sends_message(exchange, WORK)


def poisons(exchange: Exchange) -> bool:
    """A message is being given up."""
    return any(_sends_message(exchange, queue) for queue in POISON)


def is_work(exchange: Exchange) -> bool:
    """Anything that changes storage or asks Graph, the host's own settling of messages apart."""
    if exchange.side == "queue":
        return exchange.method == "POST"
    return exchange.method not in _READS and "/Tables" not in exchange.path


def is_idle_poll(exchange: Exchange) -> bool:
    """The host looked for messages and found none."""
    if exchange.side != "queue" or exchange.method != "GET" or "/messages" not in exchange.path:
        return False
    return exchange.status in _SUCCESS and b"<QueueMessage>" not in exchange.answer


def rows_read(exchange: Exchange) -> int:
    """How many entities a table answer carries."""
    if exchange.side != "table" or exchange.method not in _READS or exchange.status not in _SUCCESS:
        return 0
    content = _object(exchange.answer)
    if content is None:
        return 0
    values = content.get("value")
    return len(values) if isinstance(values, list) else 1


def message_text(exchange: Exchange) -> str:
    """The text of a message that is being put."""
    return ET.fromstring(exchange.body).findtext("MessageText") or ""  # noqa: S314 -- our own app's, on loopback


def received(exchange: Exchange) -> list[tuple[str, str]]:
    """Id and pop receipt of the work messages that the host has just been given."""
    if exchange.side != "queue" or exchange.method != "GET" or _place(exchange) != WORK or is_idle_poll(exchange):
        return []
    if "peekonly" in parse_qs(exchange.path.partition("?")[2]) or exchange.status not in _SUCCESS:
        return []
    found = ET.fromstring(exchange.answer).iter("QueueMessage")  # noqa: S314 -- the emulator's, on loopback
    return [(one.findtext("MessageId") or "", one.findtext("PopReceipt") or "") for one in found]


def _sends_message(exchange: Exchange, queue: str) -> bool:
    return exchange.side == "queue" and exchange.method == "POST" and _place(exchange) == queue


def _place(exchange: Exchange) -> str:
    """The table, the queue or ``$batch`` below the account's name."""
    found = _PLACE.match(exchange.path)
    return found[1] if found else ""


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
