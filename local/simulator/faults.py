"""Scripted faults: what is to go wrong, for whom, how often."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

SCOPES: Final = ("any", "single", "item", "envelope", "token")
_MATCH: Final = {"method", "path", "filter", "userId", "scope"}
_ACTION: Final = {
    "status",
    "done",
    "headers",
    "body",
    "delayMs",
    "drop",
    "hang",
    "redirect",
    "truncate",
    "missingItems",
    "duplicateItems",
    "raw",
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault; `times` of `None` means for ever, `after` lets so many matching calls pass first."""

    match: dict[str, Any]
    action: dict[str, Any]
    times: int | None = 1
    after: int = 0
    seen: int = 0
    fired: int = 0

    def applies(self, *, scope: str, method: str, path: str, user_id: str | None, text: str) -> bool:
        """Whether the fault applies to this call; a call that matches is counted."""
        wanted = self.match.get("scope", "any")
        if wanted not in ("any", scope) or (wanted == "any" and scope == "token"):
            return False
        if self.match.get("method", method).upper() != method:
            return False
        if not (re.search(self.match.get("path", ""), path) and re.search(self.match.get("filter", ""), text)):
            return False
        if "userId" in self.match and str(self.match["userId"]).lower() != user_id:
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """The fault as it was given, with how often it fired."""
        shown = {"match": self.match, "action": self.action, "times": self.times, "after": self.after}
        return shown | {"fired": self.fired}


@dataclass(slots=True)
class Faults:
    """All scripted faults, in the order given; the first that applies is used."""

    listed: list[Fault] = field(default_factory=list)

    def add(self, content: Any) -> None:
        """Add one fault or a list of them; ValueError names what is wrong, and then none is added."""
        entries = content if isinstance(content, list) else [content]
        self.listed += [_parsed(entry) for entry in entries]

    def action_for(
        self, *, scope: str, method: str, path: str, user_id: str | None = None, text: str = ""
    ) -> dict[str, Any] | None:
        """The action for a call with this `$filter`, or `None`."""
        for fault in self.listed:
            if fault.applies(scope=scope, method=method, path=path, user_id=user_id, text=text):
                return fault.action
        return None


def _parsed(entry: Any) -> Fault:
    if not isinstance(entry, dict) or not isinstance(entry.get("action"), dict):
        raise ValueError(  # noqa: TRY004 -- one error type for every wrong value
            "a fault is an object with match, action, times, after"
        )
    match = entry.get("match") or {}
    unknown = (set(entry) - {"match", "action", "times", "after"}) | (set(match) - _MATCH)
    unknown |= set(entry["action"]) - _ACTION
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    if match.get("scope", "any") not in SCOPES:
        raise ValueError(f"scope must be one of {', '.join(SCOPES)}")
    re.compile(match.get("path", ""))
    re.compile(match.get("filter", ""))
    times = entry.get("times", 1)
    return Fault(match=match, action=entry["action"], times=times, after=int(entry.get("after", 0)))
