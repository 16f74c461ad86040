"""Table entities and what they mean: column names are the JSON names in PascalCase, nested members flattened."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.moments import parsed_or_none, written
from revoke_core.domain.results import (
    Correlation,
    Counts,
    Doubt,
    Problem,
    RequestedBy,
    RequestRecord,
    RequestStatus,
    UserRow,
    UserStatus,
)
from revoke_core.ports import Flight, Run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Entity = dict[str, Any]

# Four hexadecimal digits of inverted milliseconds: one partition per 50 days, newest partition first.
_PARTITION_DIGITS: Final = 4
RUN_ROW: Final = "run"
_CORRELATION: Final = ("client_request_id", "workflow_run_id", "workflow_name", "traceparent")


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
        "CompletedAt": _time(record.completed_at),
        "Reason": record.reason,
        "DryRun": record.dry_run,
        "Verify": record.verify,
        # Written even when empty: a merge would leave an old warning standing.
        "Warnings": json.dumps(record.warnings),
        "MessageText": record.message_text,
        "RetryOf": record.retry_of,
    }
    entity |= {f"Correlation{_pascal(name)}": getattr(record.correlation, name) for name in _CORRELATION}
    return _present(entity | _counts_columns(record.counts) | _problem_columns(record.problem))


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
        requested_at=_moment(entity["RequestedAt"]),
        completed_at=parsed_or_none(entity.get("CompletedAt")),
        correlation=Correlation(**{name: entity.get(f"Correlation{_pascal(name)}") for name in _CORRELATION}),
        reason=entity.get("Reason"),
        dry_run=bool(entity.get("DryRun")),
        verify=bool(entity.get("Verify", True)),
        warnings=tuple(json.loads(entity.get("Warnings") or "[]")),
        counts=_counts(entity),
        problem=_problem(entity),
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
        "RevokedAt": _time(row.revoked_at),
        "SessionsValidFrom": _time(row.valid_from),
        "SessionsValidFromBefore": _time(row.valid_from_before),
        "GraphRequestId": row.graph_request_id,
        "Attempts": row.attempts,
        "SentAt": _time(row.sent_at),
        "Doubt": row.doubt.value if row.doubt else None,
        "BlindRepeats": row.blind_repeats or None,
    }
    return _present(entity | _problem_columns(row.problem))


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
        problem=_problem(entity),
    )


def run_entity(run: Run, write_id: str) -> Entity:
    """The run row; ``write_id`` lets a writer recognise its own write after a lost answer."""
    entity: Entity = {
        "PartitionKey": run.request_id,
        "RowKey": RUN_ROW,
        "Owner": run.owner,
        "Epoch": run.epoch,
        "LeaseUntil": _time(run.lease_until),
        "NextAt": _time(run.next_at),
        "Checkpoint": run.checkpoint,
        "Positions": run.positions,
        "Planned": run.planned,
        "IndexedTo": run.indexed_to,
        "Proving": run.proving,
        "Flights": _flights_text(run.flights) if run.flights else None,
        "DoneTo": run.done_to,
        "HeldAt": _time(run.held_at),
        "ConfirmedAt": _time(run.confirmed_at),
        "CancelRequested": run.cancel_requested or None,
        "Cancelled": run.cancelled or None,
        "Excluded": run.excluded,
        "Failures": run.failures,
        "Cause": run.cause,
        "Warnings": json.dumps(run.warnings) if run.warnings else None,
        "Refusal": _problem_text(run.refusal),
        "Stopped": _problem_text(run.stopped),
        "WriteId": write_id,
    }
    return _present(entity | _counts_columns(run.counts))


def run_from(entity: Mapping[str, Any], version: str) -> Run:
    """The run row's meaning; ``version`` is its ETag."""
    return Run(
        request_id=entity["PartitionKey"],
        owner=entity.get("Owner") or "",
        epoch=int(entity.get("Epoch") or 0),
        lease_until=parsed_or_none(entity.get("LeaseUntil")),
        next_at=parsed_or_none(entity.get("NextAt")),
        checkpoint=entity.get("Checkpoint"),
        positions=int(entity.get("Positions") or 0),
        planned=bool(entity.get("Planned")),
        indexed_to=int(entity.get("IndexedTo") or 0),
        proving=bool(entity.get("Proving")),
        flights=_flights(entity.get("Flights")),
        done_to=int(entity.get("DoneTo") or 0),
        held_at=parsed_or_none(entity.get("HeldAt")),
        confirmed_at=parsed_or_none(entity.get("ConfirmedAt")),
        cancel_requested=bool(entity.get("CancelRequested")),
        cancelled=int(entity.get("Cancelled") or 0),
        counts=_counts(entity),
        excluded=int(entity.get("Excluded") or 0),
        failures=int(entity.get("Failures") or 0),
        cause=entity.get("Cause"),
        warnings=tuple(json.loads(entity.get("Warnings") or "[]")),
        refusal=_problem_from_text(entity.get("Refusal")),
        stopped=_problem_from_text(entity.get("Stopped")),
        version=version,
    )


def _flights_text(flights: tuple[Flight, ...]) -> str:
    return json.dumps([[written(flight.sent_at), *flight.positions] for flight in flights], separators=(",", ":"))


def _flights(text: str | None) -> tuple[Flight, ...]:
    entries = json.loads(text) if text else []
    return tuple(Flight(sent_at=_moment(sent_at), positions=tuple(places)) for sent_at, *places in entries)


def _problem_text(problem: Problem | None) -> str | None:
    return json.dumps(asdict(problem)) if problem else None


def _problem_from_text(text: str | None) -> Problem | None:
    if not text:
        return None
    members = json.loads(text)
    return Problem(members["code"], members["message"], members["hint"], tuple(members["faults"]))


def row_key(position: int) -> str:
    """Rows sort in the order the users were first named."""
    return f"{position:07d}"


def _counts_columns(counts: Counts) -> Entity:
    return {f"Counts{_pascal(item.name)}": getattr(counts, item.name) for item in fields(Counts)}


def _counts(entity: Mapping[str, Any]) -> Counts:
    return Counts(**{item.name: int(entity.get(f"Counts{_pascal(item.name)}") or 0) for item in fields(Counts)})


def _problem_columns(problem: Problem | None) -> Entity:
    if problem is None:
        return {}
    return {
        "ErrorCode": problem.code,
        "ErrorMessage": problem.message,
        "ErrorHint": problem.hint or None,
        "ErrorErrors": json.dumps(problem.faults) if problem.faults else None,
    }


def _problem(entity: Mapping[str, Any]) -> Problem | None:
    if not entity.get("ErrorCode"):
        return None
    return Problem(
        entity["ErrorCode"],
        entity.get("ErrorMessage") or "",
        entity.get("ErrorHint") or "",
        tuple(json.loads(entity.get("ErrorErrors") or "[]")),
    )


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _present(entity: Entity) -> Entity:
    return {name: value for name, value in entity.items() if value is not None}


def _time(moment: datetime | None) -> str | None:
    return written(moment) if moment else None


def _moment(text: str) -> datetime:
    moment = parsed_or_none(text)
    if moment is None:
        raise ValueError("a row of the status log has a damaged time")
    return moment
