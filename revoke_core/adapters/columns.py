"""Columns of table entities: the JSON names in PascalCase, nested members flattened, times as text."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from revoke_core.domain.moments import parsed_or_none, written
from revoke_core.domain.results import Counts, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Entity = dict[str, Any]


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
        "ErrorErrors": json.dumps(problem.faults) if problem.faults else None,
    }


def problem_from(entity: Mapping[str, Any]) -> Problem | None:
    """The error in an entity's columns."""
    if not entity.get("ErrorCode"):
        return None
    return Problem(
        entity["ErrorCode"],
        entity.get("ErrorMessage") or "",
        entity.get("ErrorHint") or "",
        tuple(json.loads(entity.get("ErrorErrors") or "[]")),
    )


def pascal(name: str) -> str:
    """A Python name as the name of a column."""
    return "".join(part.capitalize() for part in name.split("_"))


def present(entity: Entity) -> Entity:
    """Without empty columns, for a table has no null."""
    return {name: value for name, value in entity.items() if value is not None}


def time_text(moment: datetime | None) -> str | None:
    """A time as the status log writes it."""
    return written(moment) if moment else None


def moment_from(text: str) -> datetime:
    """A time that has to be there; ``ValueError`` when it is damaged."""
    moment = parsed_or_none(text)
    if moment is None:
        raise ValueError("a row of the status log has a damaged time")
    return moment
