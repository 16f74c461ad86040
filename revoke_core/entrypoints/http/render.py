"""The revocation resource and its parts as JSON and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.timestamps import written

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from revoke_core.domain.evidence import Evidence
    from revoke_core.domain.problems import Problem
    from revoke_core.domain.request_record import RequestedBy, RequestRecord
    from revoke_core.domain.user_state import Counts, UserRow
    from revoke_core.entrypoints.http.links import Links
    from revoke_core.service.reading.status import Status

CSV_COLUMNS: Final = (
    "input",
    "userId",
    "userPrincipalName",
    "status",
    "revokedAt",
    "sessionsValidFrom",
    "graphRequestId",
    "attempts",
    "errorCode",
    "errorMessage",
    "evidenceInitiatedByKind",
    "evidenceInitiatedById",
    "evidenceInitiatedByName",
    "evidenceCorrelationId",
    "evidenceAuditedAt",
    "evidenceFirstSignInTime",
    "evidenceFirstSignInApp",
    "evidenceFirstSignInAddress",
    "evidenceFirstSignInResult",
    "evidenceReadAt",
)
# A spreadsheet runs a cell that starts with one of these as a formula; the last four are full-width.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def resource(status: Status, links: Links, *, users: bool) -> dict[str, Any]:
    """The whole resource, or without its users as an entry of a list."""
    record = status.record
    content: dict[str, Any] = {
        "id": record.id,
        "status": record.status.value,
        "source": record.source,
        "requestedBy": _requested_by(record.requested_by),
        "correlation": {
            "clientRequestId": record.correlation.client_request_id,
            "workflowRunId": record.correlation.workflow_run_id,
            "workflowName": record.correlation.workflow_name,
            "traceparent": record.correlation.traceparent,
        },
        "requestedAt": written(record.requested_at),
        "completedAt": _time(record.completed_at),
        "reason": record.reason,
        "dryRun": record.dry_run,
        "warnings": list(record.warnings),
        "counts": _counts(record.counts, dry_run=record.dry_run),
        "links": _links(record, links),
    }
    if status.finishes_at:
        content["estimatedCompletionAt"] = written(status.finishes_at)
    if record.retry_of:
        content["retryOf"] = record.retry_of
    if record.problem:
        content["error"] = _problem(record.problem)
    if record.callback:
        content["callback"] = {
            "status": record.callback.status.value,
            "attempts": record.callback.attempts,
            "lastStatus": record.callback.last_status,
            "lastError": record.callback.last_error,
        }
    if record.message_text is not None:
        content["messageText"] = record.message_text
    if users:
        content["users"] = [user(row) for row in status.users]
        if status.users_token:
            content["usersNextLink"] = links.next_page(f"revocations/{record.id}/users", {}, status.users_token)
    return content


def _links(record: RequestRecord, links: Links) -> dict[str, str]:
    parts = {
        "users": True,
        "confirm": record.status is RequestStatus.HELD,
        "cancel": not record.status.is_final,
        "retry": record.may_be_retried,
    }
    offered = {part: links.request(record.id, part) for part, is_offered in parts.items() if is_offered}
    return {"self": links.request(record.id)} | offered


def user(row: UserRow) -> dict[str, Any]:
    """One user of a request."""
    content: dict[str, Any] = {
        "input": row.given,
        "userId": row.user_id,
        "userPrincipalName": row.user_principal_name,
        "status": row.status.value,
        "revokedAt": _time(row.revoked_at),
        "sessionsValidFrom": _time(row.valid_from),
        "graphRequestId": row.graph_request_id,
        "attempts": row.attempts,
    }
    if row.problem:
        content["error"] = _problem(row.problem)
    if row.evidence:
        content["evidence"] = _evidence(row.evidence)
    return content


def _evidence(evidence: Evidence) -> dict[str, Any]:
    """``firstSignIn`` is ``null`` while there was none, and left out where the sign-in log could not be read."""
    initiator, sign_in = evidence.initiated_by, evidence.first_sign_in
    content: dict[str, Any] = {
        "initiatedBy": asdict(initiator) if initiator else None,
        "correlationId": evidence.correlation_id,
        "auditedAt": _time(evidence.audited_at),
        "firstSignIn": asdict(sign_in) | {"time": written(sign_in.time)} if sign_in else None,
        "readAt": written(evidence.read_at),
    }
    if not evidence.sign_ins_read:
        del content["firstSignIn"]
    return content


def users_csv(rows: Iterable[UserRow]) -> str:
    """Users as CSV (RFC 4180) with a header line; cells that a spreadsheet would run are escaped with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        content = user(row)
        error = content.pop("error", {})
        content |= {"errorCode": error.get("code"), "errorMessage": error.get("message")}
        content |= _flat("evidence", content.get("evidence"))
        writer.writerow([_escaped_cell(content.get(column)) for column in CSV_COLUMNS])
    return text.getvalue()


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Nested members under one name each: ``evidence.firstSignIn.time`` as ``evidenceFirstSignInTime``."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        whole: inner
        for member, given in value.items()
        for whole, inner in _flat(f"{name}{member[0].upper()}{member[1:]}", given).items()
    }


def _escaped_cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _requested_by(caller: RequestedBy) -> dict[str, Any]:
    content: dict[str, Any] = {"kind": caller.kind, "id": caller.id, "name": caller.name}
    content |= {"appId": caller.app_id} if caller.app_id else {}
    return content | ({"claim": True} if caller.claim else {})


def _counts(counts: Counts, *, dry_run: bool) -> dict[str, int]:
    """``planned`` is only counted where it can occur."""
    content = asdict(counts)
    planned = content.pop("planned")
    return content | ({"planned": planned} if dry_run else {})


def _problem(problem: Problem) -> dict[str, Any]:
    content: dict[str, Any] = {"code": problem.code, "message": problem.message, "hint": problem.hint}
    return content | ({"errors": list(problem.faults)} if problem.faults else {})


def _time(moment: datetime | None) -> str | None:
    return written(moment) if moment else None
