"""The run row of a request, among the rows of its users: who works on it and how far it has come."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.tables.rows import (
    counts_columns,
    counts_from,
    json_items,
    json_text,
    moment_from,
    present,
    time_text,
)
from revoke_core.domain.problems import Problem
from revoke_core.domain.run import Run, SendIntent
from revoke_core.domain.timestamps import parsed_or_none, written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.adapters.tables.rows import Entity

RUN_ROW: Final = "run"


def run_entity(run: Run, write_id: str) -> Entity:
    """The run row; ``write_id`` lets a writer recognise its own write after a lost answer."""
    entity: Entity = {
        "PartitionKey": run.request_id,
        "RowKey": RUN_ROW,
        "Owner": run.owner,
        "Epoch": run.epoch,
        "LeaseUntil": time_text(run.lease_until),
        "DueAt": time_text(run.due_at),
        "Checkpoint": run.checkpoint,
        "Positions": run.positions,
        "Planned": run.planned,
        "IndexedTo": run.indexed_to,
        "Readable": run.readable,
        "Verifying": run.verifying,
        "Intents": _intents_text(run.intents) if run.intents else None,
        "LowWatermark": run.low_watermark,
        "HeldAt": time_text(run.held_at),
        "ConfirmationWaived": run.confirmation_waived or None,
        "HasUnmatched": run.has_unmatched or None,
        "ConfirmedAt": time_text(run.confirmed_at),
        "ConfirmedUsers": run.confirmed_users,
        "CancelRequested": run.cancel_requested or None,
        "Cancelled": run.cancelled or None,
        "Excluded": run.excluded,
        "Failures": run.failures,
        "BlockedBy": run.blocked_by,
        "GraphCode": run.graph_code,
        "Warnings": json_text(run.warnings) if run.warnings else None,
        "Refusal": _problem_text(run.refusal),
        "AbortReason": _problem_text(run.abort_reason),
        "WriteId": write_id,
    }
    return present(entity | counts_columns(run.counts))


def run_from(entity: Mapping[str, Any], version: str) -> Run:
    """The run row's meaning; ``version`` is its ETag."""
    return Run(
        request_id=entity["PartitionKey"],
        owner=entity.get("Owner") or "",
        epoch=int(entity.get("Epoch") or 0),
        lease_until=parsed_or_none(entity.get("LeaseUntil")),
        due_at=parsed_or_none(entity.get("DueAt")),
        checkpoint=entity.get("Checkpoint"),
        positions=int(entity.get("Positions") or 0),
        planned=bool(entity.get("Planned")),
        indexed_to=int(entity.get("IndexedTo") or 0),
        readable=bool(entity.get("Readable", True)),
        verifying=bool(entity.get("Verifying")),
        intents=_intents(entity.get("Intents")),
        low_watermark=int(entity.get("LowWatermark") or 0),
        held_at=parsed_or_none(entity.get("HeldAt")),
        confirmation_waived=bool(entity.get("ConfirmationWaived")),
        has_unmatched=bool(entity.get("HasUnmatched")),
        confirmed_at=parsed_or_none(entity.get("ConfirmedAt")),
        confirmed_users=entity.get("ConfirmedUsers"),
        cancel_requested=bool(entity.get("CancelRequested")),
        cancelled=int(entity.get("Cancelled") or 0),
        counts=counts_from(entity),
        excluded=int(entity.get("Excluded") or 0),
        failures=int(entity.get("Failures") or 0),
        blocked_by=entity.get("BlockedBy"),
        graph_code=entity.get("GraphCode"),
        warnings=tuple(json_items(entity.get("Warnings"))),
        refusal=_problem_from_text(entity.get("Refusal")),
        abort_reason=_problem_from_text(entity.get("AbortReason")),
        version=version,
    )


def _intents_text(intents: tuple[SendIntent, ...]) -> str:
    return json.dumps([[written(intent.sent_at), *intent.positions] for intent in intents], separators=(",", ":"))


def _intents(text: str | None) -> tuple[SendIntent, ...]:
    entries = json.loads(text) if text else []
    return tuple(SendIntent(sent_at=moment_from(sent_at), positions=tuple(places)) for sent_at, *places in entries)


def _problem_text(problem: Problem | None) -> str | None:
    return json.dumps(asdict(problem)) if problem else None


def _problem_from_text(text: str | None) -> Problem | None:
    if not text:
        return None
    members = json.loads(text)
    return Problem(members["code"], members["message"], members["hint"], tuple(members["faults"]))
