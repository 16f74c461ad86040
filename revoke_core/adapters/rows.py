"""Requests and users as table entities, and back."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.columns import (
    counts_columns,
    counts_from,
    moment_from,
    pascal,
    present,
    problem_columns,
    problem_from,
    time_text,
)
from revoke_core.domain.moments import parsed_or_none, written
from revoke_core.domain.results import (
    Correlation,
    Counts,
    Doubt,
    RequestedBy,
    RequestRecord,
    RequestStatus,
    UserRow,
    UserStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.columns import Entity

# Four hexadecimal digits of inverted milliseconds: one partition per 50 days, newest partition first.
_PARTITION_DIGITS: Final = 4
_CORRELATION: Final = ("client_request_id", "workflow_run_id", "workflow_name", "traceparent")
# What ``record_from`` reads: every column of a request's row but the inputs, which may be large.
RECORD_COLUMNS: Final = [
    *("PartitionKey", "RowKey", "Status", "Source", "RequestedByKind", "RequestedById", "RequestedByName"),
    *("RequestedByAppId", "RequestedByClaim", "RequestedAt", "CompletedAt", "Reason", "DryRun", "Verify", "Warnings"),
    *("MessageText", "RetryOf"),
    *(f"Correlation{pascal(name)}" for name in _CORRELATION),
    *("ErrorCode", "ErrorMessage", "ErrorHint", "ErrorErrors"),
    *(f"Counts{pascal(item.name)}" for item in fields(Counts)),
]


def request_partition(request_id: str) -> str:
    """The partition of ``Revocations`` that holds a request."""
    return request_id[:_PARTITION_DIGITS]


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
        # Written even when empty: a merge would leave an old warning standing.
        "Warnings": json.dumps(record.warnings),
        "MessageText": record.message_text,
        "RetryOf": record.retry_of,
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
        warnings=tuple(json.loads(entity.get("Warnings") or "[]")),
        counts=counts_from(entity),
        problem=problem_from(entity),
        message_text=entity.get("MessageText"),
        retry_of=entity.get("RetryOf"),
    )


def user_entity(request_id: str, row: UserRow) -> Entity:
    """A user as a row of ``RevocationUsers``."""
    entity: Entity = {
        "PartitionKey": request_id,
        "RowKey": row_key(row.position),
        "Input": row.given,
        "UserId": row.user_id,
        "UserPrincipalName": row.user_principal_name,
        "Status": row.status.value,
        "RevokedAt": time_text(row.revoked_at),
        "SessionsValidFrom": time_text(row.valid_from),
        "SessionsValidFromBefore": time_text(row.valid_from_before),
        "GraphRequestId": row.graph_request_id,
        "Attempts": row.attempts,
        "SentAt": time_text(row.sent_at),
        "Doubt": row.doubt.value if row.doubt else None,
        "BlindRepeats": row.blind_repeats or None,
    }
    return present(entity | problem_columns(row.problem))


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
        doubt=Doubt(entity["Doubt"]) if entity.get("Doubt") else None,
        blind_repeats=int(entity.get("BlindRepeats") or 0),
        problem=problem_from(entity),
    )


def row_key(position: int) -> str:
    """Rows sort in the order the users were first named."""
    return f"{position:07d}"
