"""What a reader takes from a payload."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Named:
    """The texts that name users, in the payload's order, and a reason for the log where the payload gives one.

    A text is an object id, a user principal name or an ``EntityName.text``.
    """

    users: list[str] = field(default_factory=list)
    reason: str | None = None


def incident_reason(number: str | None, title: str | None) -> str | None:
    """An incident's number and title as a reason; what is missing is left out."""
    incident = f"Incident {number}" if number else None
    return ": ".join(filter(None, (incident, title))) or None
