"""Recognises the app's storage and Graph calls from outside; every name and shape the test environment needs is here.

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

    from local.testbed.proxy import Exchange

REQUESTS: Final = "Revocations"
USERS: Final = "RevocationUsers"
REQUEST_QUEUE: Final = "revocation-requests"
WORK_QUEUE: Final = "revocation-work"
POISON_QUEUES: Final = ("revocation-requests-poison", "revocation-work-poison")
RUN_ROW: Final = "run"
# ``Revocations`` holds an open marker beside the row of each unfinished request: open-{12 hex digits}-{request id}.
OPEN_MARKER: Final = "open-"
# A user's status only moves to a higher rank; statuses of the last rank are final.
STATUS_RANK: Final = {"pending": 0, "revoked": 1, "verified": 2, "skipped": 2, "planned": 2, "failed": 2}
FINAL_REQUEST: Final = ("succeeded", "partiallySucceeded", "failed", "cancelled", "planned")
NOT_PROCESSED: Final = "notProcessed"

_READS: Final = ("GET", "HEAD")
_SUCCESS: Final = range(200, 300)
_REVOKED: Final = ("revoked", "verified")
_OPERATION: Final = re.compile(
    rb"^(POST|PUT|PATCH|MERGE|DELETE) \S*?/([A-Za-z]\w+)(?:\(\S*\))? HTTP/1\.1", re.MULTILINE
)
_RESOURCE: Final = re.compile(r"^/[^/?]+/([^/(?]+)")
_MARKER_PREFIX_LENGTH: Final = len(OPEN_MARKER) + 13


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEntity:
    """One entity that is written, into which table; ``method`` is POST for an insert."""

    table: str
    method: str
    row: Mapping[str, Any]

    @property
    def is_request(self) -> bool:
        """Whether it is a request's own row in ``Revocations``: its open marker and its key have no status."""
        return self.table == REQUESTS and "Status" in self.row


def is_open_marker(row: Mapping[str, Any]) -> bool:
    """Whether a row of ``Revocations`` is the open marker of a request."""
    return str(row.get("RowKey", "")).startswith(OPEN_MARKER)


def marked_request(row: Mapping[str, Any]) -> str:
    """The id of the request that an open marker belongs to."""
    return str(row["RowKey"])[_MARKER_PREFIX_LENGTH:]


def written_entities(exchange: Exchange) -> list[WrittenEntity]:
    """The entities a table request inserts, updates or merges, those of a transaction included; deletes have none."""
    if exchange.side != "table" or exchange.method in _READS:
        return []
    resource = _resource(exchange)
    if resource != "$batch":
        entity = _object(exchange.body)
        return [WrittenEntity(table=resource, method=exchange.method, row=entity)] if entity is not None else []
    operations = list(_OPERATION.finditer(exchange.body))
    ends = [*(operation.start() for operation in operations[1:]), len(exchange.body)]
    found = []
    for operation, end in zip(operations, ends, strict=True):
        texts = (text.strip() for text in exchange.body[operation.end() : end].splitlines())
        entity = next((_object(text) for text in texts if text.startswith(b"{")), None)
        if entity is not None:
            found.append(WrittenEntity(table=operation[2].decode(), method=operation[1].decode(), row=entity))
    return found


def user_rows(exchange: Exchange) -> list[Mapping[str, Any]]:
    """The users among what is written."""
    return [one.row for one in written_entities(exchange) if one.table == USERS and one.row.get("RowKey") != RUN_ROW]


def is_request_creation(exchange: Exchange) -> bool:
    """A request's own row is being inserted, alone or in one transaction with its open marker."""
    return any(
        one.is_request and one.method == "POST" and one.row.get("Status") not in FINAL_REQUEST
        for one in written_entities(exchange)
    )


def is_plan_commit(exchange: Exchange) -> bool:
    """Rows of users who have not been sent to Graph are being written; the first such write is the planner's."""
    return any(row.get("Status") == "pending" and not row.get("Attempts") for row in user_rows(exchange))


def is_revoke_call(exchange: Exchange) -> bool:
    """A call that revokes is on its way to Graph."""
    if exchange.side != "graph" or exchange.method != "POST":
        return False
    return b"revokeSignInSessions" in exchange.body or "revokeSignInSessions" in exchange.path


def is_result_commit(exchange: Exchange) -> bool:
    """Rows of revoked users are being written."""
    return any(row.get("Status") in _REVOKED for row in user_rows(exchange))


def ended_requests(exchange: Exchange) -> list[str]:
    """Ids of the requests whose final status is being written."""
    return [
        str(one.row.get("RowKey", ""))
        for one in written_entities(exchange)
        if one.is_request and one.row.get("Status") in FINAL_REQUEST
    ]


def is_request_end(exchange: Exchange) -> bool:
    """A request's final status is being written, alone or in one transaction that deletes its open marker."""
    return bool(ended_requests(exchange))


def redriven_requests(exchange: Exchange) -> list[str]:
    """Ids of the requests that the timer drives again: ``Redriven`` of their open markers is being counted up."""
    return [
        marked_request(one.row)
        for one in written_entities(exchange)
        if one.table == REQUESTS and is_open_marker(one.row) and int(one.row.get("Redriven") or 0) > 0
    ]


def is_work_message(exchange: Exchange) -> bool:
    """A work message is being sent: the first after the request was accepted, the next by a worker that releases it."""
    return _sends_message(exchange, WORK_QUEUE)


def is_poison_message(exchange: Exchange) -> bool:
    """A message is being moved to a poison queue."""
    return any(_sends_message(exchange, queue) for queue in POISON_QUEUES)


def is_work(exchange: Exchange) -> bool:
    """Anything that changes storage or calls Graph, the host's own settling of messages apart."""
    if exchange.side == "queue":
        return exchange.method == "POST"
    return exchange.method not in _READS and "/Tables" not in exchange.path


def is_idle_poll(exchange: Exchange) -> bool:
    """The host polled a queue and got no message."""
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


def received_messages(exchange: Exchange) -> list[tuple[str, str]]:
    """Id and pop receipt of the work messages that the host has just received."""
    if exchange.side != "queue" or exchange.method != "GET" or _resource(exchange) != WORK_QUEUE:
        return []
    if is_idle_poll(exchange) or exchange.status not in _SUCCESS:
        return []
    if "peekonly" in parse_qs(exchange.path.partition("?")[2]):
        return []
    found = ET.fromstring(exchange.answer).iter("QueueMessage")  # noqa: S314 -- the emulator's, on loopback
    return [(one.findtext("MessageId") or "", one.findtext("PopReceipt") or "") for one in found]


def _sends_message(exchange: Exchange, queue: str) -> bool:
    return exchange.side == "queue" and exchange.method == "POST" and _resource(exchange) == queue


def _resource(exchange: Exchange) -> str:
    """The table, the queue or ``$batch`` below the account's name."""
    found = _RESOURCE.match(exchange.path)
    return found[1] if found else ""


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
