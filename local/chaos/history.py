"""The judgement: what Graph really did and what the tables say must be one story."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from local.rig import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One batch can be in doubt for each host that dies.
DUPLICATES_PER_KILL: Final = 20
_ACCEPTED: Final = ("revoked", "verified")
_COUNTED: Final = ("pending", "revoked", "verified", "skipped", "failed")
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Story:
    """One run as both sides tell it.

    Args:
        asked: object ids that were to be revoked.
        protected: object ids that were named too, and must never reach Graph.
        requests: rows of ``Revocations`` that this run produced; exactly one is right.
        rows: rows of ``RevocationUsers``.
        served: the tenant's log: every revoke call answered for these users since the run began.
        kills: hosts that were killed.
        changes: what was seen to change that never may, in words.
    """

    asked: frozenset[str]
    protected: frozenset[str] = frozenset()
    requests: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    served: Sequence[Mapping[str, Any]]
    kills: int = 0
    changes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is wrong with a story, in numbers for the table and in words for a person."""

    lost: int = 0
    duplicates: int = 0
    faults: tuple[str, ...] = ()


@dataclass
class _Notes:
    faults: list[str] = field(default_factory=list)

    def unless(self, holds: bool, text: str) -> None:
        if not holds:
            self.faults.append(text)


def judged(story: Story) -> Findings:
    """Hold a story to the engine's promises; no faults means that it keeps them all."""
    notes = _Notes()
    notes.unless(len(story.requests) == 1, f"{len(story.requests)} requests stand for one")
    served = Counter(entry["userId"] for entry in story.served if entry["status"] in _SUCCESS)
    by_user = {str(row.get("UserId")): row for row in story.rows}
    lost = _lost(story, by_user, notes)
    for request in story.requests[:1]:
        _one_truth(story, request, served, notes)
        _counts(request, story.rows, notes)
    for identity in story.protected:
        notes.unless(not served[identity], f"protected user {identity} was sent to Graph")
        notes.unless(by_user.get(identity, {}).get("Status") == "skipped", f"protected user {identity} is not skipped")
    duplicates = sum(count - 1 for count in served.values() if count > 1)
    allowed = DUPLICATES_PER_KILL * story.kills
    notes.unless(duplicates <= allowed, f"{duplicates} users were revoked again, {allowed} may be")
    notes.faults.extend(story.changes)
    return Findings(lost=lost, duplicates=duplicates, faults=tuple(notes.faults))


def _lost(story: Story, by_user: Mapping[str, Mapping[str, Any]], notes: _Notes) -> int:
    """Users without a last word or without their due; nothing stands in the way of a single one."""
    ends = {identity: str(by_user.get(identity, {}).get("Status", "missing")) for identity in story.asked}
    open_users = [identity for identity, status in ends.items() if wire.ORDER.get(status, 0) < wire.ORDER["verified"]]
    short = Counter(status for status in ends.values() if status != "verified")
    notes.unless(not short, "not verified: " + ", ".join(f"{count} {status}" for status, count in short.items()))
    extra = set(by_user) - story.asked - story.protected
    notes.unless(not extra, f"{len(extra)} users have a row and were not asked for")
    notes.unless(len(by_user) == len(story.rows), f"{len(story.rows) - len(by_user)} users have more than one row")
    unfinished = [request for request in story.requests if request.get("Status") not in wire.FINAL_REQUEST]
    notes.unless(not unfinished, "the request has no last word")
    return len(open_users)


def _one_truth(story: Story, request: Mapping[str, Any], served: Counter[str], notes: _Notes) -> None:
    begun = datetime.fromisoformat(str(request["RequestedAt"]))
    first = min((datetime.fromisoformat(entry["at"]) for entry in story.served), default=begun)
    notes.unless(first >= begun, "somebody was revoked before the request was made")
    claimed = {str(row.get("UserId")) for row in story.rows if row.get("Status") in _ACCEPTED}
    done = set(served) - story.protected
    notes.unless(claimed <= done, f"{len(claimed - done)} rows claim a revoke that Graph never carried out")
    notes.unless(done <= claimed, f"{len(done - claimed)} revokes of Graph stand in no row")


def _counts(request: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], notes: _Notes) -> None:
    counted = Counter(str(row.get("Status")) for row in rows)
    told = {status: int(request.get(f"Counts{status.capitalize()}") or 0) for status in _COUNTED}
    wrong = [f"{status} {told[status]} for {counted[status]}" for status in _COUNTED if told[status] != counted[status]]
    notes.unless(not wrong, "counts differ from the rows: " + ", ".join(wrong))
    notes.unless(int(request.get("CountsTotal") or 0) == len(rows), "the total differs from the rows")


class Sampler:
    """Remembers rows as they were seen and tells what changed although it may not."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self._seen: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._told: set[str] = set()

    def look(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare with what was seen before: a status only moves forward, a row with its last word stays as it is."""
        for row in rows:
            key = str(row["RowKey"])
            rank = wire.ORDER.get(str(row.get("Status")), 0)
            before_rank, before = self._seen.get(key, (0, row))
            if rank < before_rank:
                self._tell(key, f"row {key} went back from {before['Status']} to {row.get('Status')}")
            elif before_rank == wire.ORDER["verified"] and dict(before) != dict(row):
                self._tell(key, f"row {key} changed after its last word")
            self._seen[key] = (rank, dict(row))
        present = {str(row["RowKey"]) for row in rows}
        for key in self._seen.keys() - present:
            self._tell(key, f"row {key} is gone")

    def _tell(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self.changes.append(text)
