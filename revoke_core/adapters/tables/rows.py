"""Requests, their open markers, the idempotency keys they hold, and users as table entities, and back.

Columns are the JSON names in PascalCase, nested members flattened, times as text.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.tables.evidence_columns import evidence_columns, evidence_from
from revoke_core.domain.callback import CallbackEvent, CallbackState, CallbackStatus
from revoke_core.domain.entity_names import parse_entity_name
from revoke_core.domain.identifiers import inverted_time
from revoke_core.domain.lanes import Lane
from revoke_core.domain.problems import Problem
from revoke_core.domain.redaction import storable
from revoke_core.domain.request_record import Correlation, RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.responses import Ambiguity
from revoke_core.domain.schedules import MESSAGE_GRACE
from revoke_core.domain.timestamps import parsed_or_none, written
from revoke_core.domain.user_state import Counts, UserRow, UserStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

Entity = dict[str, Any]

# A text column holds 64 KiB of UTF-16 (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
_LONGEST_TEXT: Final = 32_000

# Three hexadecimal digits of inverted milliseconds: one partition per 2.2 years, newest partition first.
_PARTITION_DIGITS: Final = 3
# Request ids begin with a hexadecimal digit, so all other rows of a partition come behind this.
REQUESTS_END: Final = "g"
MARKER_PREFIX: Final = "open"
_CLAIM_PREFIX: Final = "key"
CALLBACK_SUFFIX: Final = "-callback"
# The timer comes to markers with such a count behind all requests that no message was sent for yet.
CALLBACK_REDRIVEN: Final = 1
EVIDENCE_PREFIX: Final = "reports"
_CORRELATION: Final = ("client_request_id", "workflow_run_id", "workflow_name", "traceparent")


def counts_columns(counts: Counts) -> Entity:
    """Counts as one column each."""
    return {f"Counts{pascal(item.name)}": getattr(counts, item.name) for item in fields(Counts)}


def counts_from(entity: Mapping[str, Any]) -> Counts:
    """Counts from their columns; a column that is not there is 0."""
    return Counts(**{item.name: int(entity.get(f"Counts{pascal(item.name)}") or 0) for item in fields(Counts)})


def problem_columns(problem: Problem | None) -> Entity:
    """An error as columns; none when there is no error."""
    if problem is None:
        return {}
    return {
        "ErrorCode": problem.code,
        "ErrorMessage": problem.message,
        "ErrorHint": problem.hint or None,
        "ErrorErrors": json_text(problem.faults) if problem.faults else None,
    }


def problem_from(entity: Mapping[str, Any]) -> Problem | None:
    """The error in an entity's columns."""
    if not entity.get("ErrorCode"):
        return None
    return Problem(
        entity["ErrorCode"],
        entity.get("ErrorMessage") or "",
        entity.get("ErrorHint") or "",
        tuple(json_items(entity.get("ErrorErrors"))),
    )


def pascal(name: str) -> str:
    """A Python name as the name of a column."""
    return "".join(part.capitalize() for part in name.split("_"))


def present(entity: Entity) -> Entity:
    """Without empty columns, for a table has no null, and with every text as a column can hold it."""
    return {
        name: _fitting(value) if isinstance(value, str) else value
        for name, value in entity.items()
        if value is not None
    }


def json_text(items: Sequence[Any]) -> str:
    """As many of the items as one column holds, as JSON."""
    texts: list[str] = []
    left = _LONGEST_TEXT - 2
    for item in items:
        text = storable(json.dumps(item, ensure_ascii=False))
        left -= _units(text) + 1
        if left < 0:
            break
        texts.append(text)
    return f"[{','.join(texts)}]"


def json_items(text: str | None) -> list[Any]:
    """The items of a column; none of one that is damaged."""
    try:
        items = json.loads(text or "[]")
    except ValueError:
        return []
    return items if isinstance(items, list) else []


def _fitting(text: str) -> str:
    """Encodable, and cut to what a column holds."""
    if text.isascii():
        return text[:_LONGEST_TEXT]
    text = storable(text)
    return text if _units(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT // 2]


def _units(text: str) -> int:
    """How long storage takes a text to be: UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def time_text(moment: datetime | None) -> str | None:
    """A time as the status log writes it."""
    return written(moment) if moment else None


def moment_from(text: str) -> datetime:
    """A time that has to be there; ``ValueError`` when it is damaged."""
    moment = parsed_or_none(text)
    if moment is None:
        raise ValueError("a row of the status log has a damaged time")
    return moment


# Every column of a request's row but the inputs, which may be large.
RECORD_COLUMNS: Final = [
    *("PartitionKey", "RowKey", "Status", "Source", "RequestedByKind", "RequestedById", "RequestedByName"),
    *("RequestedByAppId", "RequestedByClaim", "RequestedAt", "CompletedAt", "Reason", "DryRun", "Verify", "Warnings"),
    *("MessageText", "RetryOf", "Lane", "EvidenceWarning"),
    *("CallbackStatus", "CallbackAttempts", "CallbackLastStatus", "CallbackLastError"),
    *(f"Correlation{pascal(name)}" for name in _CORRELATION),
    *("ErrorCode", "ErrorMessage", "ErrorHint", "ErrorErrors"),
    *(f"Counts{pascal(item.name)}" for item in fields(Counts)),
]


def request_partition(request_id: str) -> str:
    """The partition of ``Revocations`` that holds a request."""
    return request_id[:_PARTITION_DIGITS]


def claim_row(scope: str, key: str) -> str:
    """The row key of an idempotency key's claim; it stands in the partition of the request that holds the key."""
    # As JSON: no scope and key that others choose may read like another pair.
    digest = hashlib.sha256(json.dumps([scope, key]).encode()).hexdigest()
    return f"{_CLAIM_PREFIX}-{digest}"


def partitions_between(oldest: datetime, newest: datetime) -> Iterator[str]:
    """The partitions of requests made between two moments, oldest first: an older one has the larger name."""
    last, first = (request_partition(inverted_time(moment)) for moment in (oldest, newest))
    for number in range(int(last, 16), int(first, 16) - 1, -1):
        yield f"{number:0{_PARTITION_DIGITS}x}"


def marker_keys(request_id: str, prefix: str = MARKER_PREFIX) -> Entity:
    """The keys of a request's marker of one kind: by the time at which the id was made, oldest first."""
    row = f"{prefix}-{_counting_up(request_id)}-{request_id}"
    return {"PartitionKey": request_partition(request_id), "RowKey": row}


def callback_keys(request_id: str) -> Entity:
    """The keys of a request's callback marker, right behind its open marker and read with it."""
    keys = marker_keys(request_id)
    return keys | {"RowKey": keys["RowKey"] + CALLBACK_SUFFIX}


def callback_marker(request_id: str, event: CallbackEvent, at: datetime) -> Entity:
    """A callback marker for an event that has just occurred; the timer looks at it when its message is overdue."""
    return callback_keys(request_id) | {
        "Event": event.value,
        "Since": written(at),
        "TryAt": written(at),
        "RedriveAt": written(at + MESSAGE_GRACE),
        "Redriven": CALLBACK_REDRIVEN,
        "Attempts": 0,
    }


def callback_columns(state: CallbackState | None) -> Entity:
    """The latest callback as columns of the request's row.

    Written with a marker only: a worker's record may be older. Without nulls, for a merge leaves what it does not name.
    """
    if state is None:
        return {}
    return {
        "CallbackStatus": state.status.value,
        "CallbackAttempts": state.attempts,
        "CallbackLastStatus": state.last_status or 0,
        "CallbackLastError": state.last_error or "",
    }


def _callback_from(entity: Mapping[str, Any]) -> CallbackState | None:
    if not entity.get("CallbackStatus"):
        return None
    return CallbackState(
        status=CallbackStatus(entity["CallbackStatus"]),
        attempts=int(entity.get("CallbackAttempts") or 0),
        last_status=entity.get("CallbackLastStatus") or None,
        last_error=entity.get("CallbackLastError") or None,
    )


def marker_bound(since: datetime, prefix: str = MARKER_PREFIX) -> str:
    """The row key at which the markers of requests made since a moment begin."""
    return f"{prefix}-{_counting_up(inverted_time(since))}"


def _counting_up(request_id: str) -> str:
    """The milliseconds in an id count down: inverted once more, the 48 bits count up."""
    return f"{int(request_id[:12], 16) ^ (1 << 48) - 1:012x}"


def record_entity(record: RequestRecord) -> Entity:
    """A request as a row of ``Revocations``."""
    entity: Entity = {
        "PartitionKey": request_partition(record.id),
        "RowKey": record.id,
        "Status": record.status.value,
        "Source": record.source,
        "RequestedByKind": record.requested_by.kind,
        "RequestedById": record.requested_by.id,
        "RequestedByName": record.requested_by.name,
        "RequestedByAppId": record.requested_by.app_id,
        "RequestedByClaim": record.requested_by.claim or None,
        "RequestedAt": written(record.requested_at),
        "CompletedAt": time_text(record.completed_at),
        "Reason": record.reason,
        "DryRun": record.dry_run,
        "Verify": record.verify,
        # Written even when empty: a merge would leave an old warning.
        "Warnings": json_text(record.warnings),
        "MessageText": record.message_text,
        "RetryOf": record.retry_of,
        "Lane": record.lane.value,
    }
    entity |= {f"Correlation{pascal(name)}": getattr(record.correlation, name) for name in _CORRELATION}
    return present(entity | counts_columns(record.counts) | problem_columns(record.problem))


def record_from(entity: Mapping[str, Any]) -> RequestRecord:
    """A request from its row."""
    return RequestRecord(
        id=entity["RowKey"],
        status=RequestStatus(entity["Status"]),
        source=entity["Source"],
        requested_by=RequestedBy(
            kind=entity["RequestedByKind"],
            id=entity.get("RequestedById"),
            name=entity.get("RequestedByName"),
            app_id=entity.get("RequestedByAppId"),
            claim=bool(entity.get("RequestedByClaim")),
        ),
        requested_at=moment_from(entity["RequestedAt"]),
        completed_at=parsed_or_none(entity.get("CompletedAt")),
        correlation=Correlation(**{name: entity.get(f"Correlation{pascal(name)}") for name in _CORRELATION}),
        reason=entity.get("Reason"),
        dry_run=bool(entity.get("DryRun")),
        verify=bool(entity.get("Verify", True)),
        # The second is written after the end, when the first is not touched any more.
        warnings=(*json_items(entity.get("Warnings")), *filter(None, [entity.get("EvidenceWarning")])),
        counts=counts_from(entity),
        problem=problem_from(entity),
        message_text=entity.get("MessageText"),
        retry_of=entity.get("RetryOf"),
        callback=_callback_from(entity),
        lane=Lane(entity.get("Lane") or Lane.SMALL),
    )


def user_entity(request_id: str, row: UserRow) -> Entity:
    """A user as a row of ``RevocationUsers``."""
    entity: Entity = {
        "PartitionKey": request_id,
        "RowKey": row_key(row.position),
        "Input": row.given,
        "Entity": row.entity.text if row.entity else None,
        "UserId": row.user_id,
        "UserPrincipalName": row.user_principal_name,
        "Status": row.status.value,
        "RevokedAt": time_text(row.revoked_at),
        "SessionsValidFrom": time_text(row.valid_from),
        "SessionsValidFromBefore": time_text(row.valid_from_before),
        "GraphRequestId": row.graph_request_id,
        "Attempts": row.attempts,
        "SentAt": time_text(row.sent_at),
        "Ambiguity": row.ambiguity.value if row.ambiguity else None,
        "UnverifiedResends": row.unverified_resends or None,
        "FailedLookups": row.failed_lookups or None,
    }
    return present(entity | problem_columns(row.problem) | evidence_columns(row.evidence))


def user_from(entity: Mapping[str, Any]) -> UserRow:
    """A user from its row."""
    return UserRow(
        position=int(entity["RowKey"]),
        given=entity["Input"],
        user_id=entity.get("UserId"),
        user_principal_name=entity.get("UserPrincipalName"),
        status=UserStatus(entity["Status"]),
        revoked_at=parsed_or_none(entity.get("RevokedAt")),
        valid_from=parsed_or_none(entity.get("SessionsValidFrom")),
        valid_from_before=parsed_or_none(entity.get("SessionsValidFromBefore")),
        graph_request_id=entity.get("GraphRequestId"),
        attempts=int(entity.get("Attempts") or 0),
        sent_at=parsed_or_none(entity.get("SentAt")),
        ambiguity=Ambiguity(entity["Ambiguity"]) if entity.get("Ambiguity") else None,
        unverified_resends=int(entity.get("UnverifiedResends") or 0),
        failed_lookups=int(entity.get("FailedLookups") or 0),
        problem=problem_from(entity),
        entity=parse_entity_name(entity["Entity"]) if entity.get("Entity") else None,
        evidence=evidence_from(entity),
    )


def row_key(position: int) -> str:
    """Rows sort in the order the users were first named."""
    return f"{position:07d}"
