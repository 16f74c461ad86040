"""Checks a run: what Graph really did and what the tables say must agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from local.testbed import exchanges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One batch can be ambiguous for each host that dies.
DUPLICATES_PER_KILL: Final = 20
# Cut-offs are read for two minutes before a call is made again. Where they lag more, every call in flight may be.
READ_FOR_SECONDS: Final = 120
_IN_FLIGHT: Final = 160
_ACCEPTED: Final = ("revoked", "verified")
_COUNTED: Final = ("pending", "revoked", "verified", "skipped", "failed")
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as the tables and the tenant recorded it.

    Args:
        asked: object ids that were to be revoked.
        protected: object ids that were named too, and must never reach Graph.
        requests: rows of ``Revocations`` that this run produced; exactly one is right.
        rows: rows of ``RevocationUsers``.
        served: the tenant's log: every revoke call answered for these users since the run began.
        kills: hosts that were killed.
        lag: seconds that the tenant's cut-off took to show.
        changes: forbidden changes of rows that were observed, in words.
    """

    asked: frozenset[str]
    protected: frozenset[str] = frozenset()
    requests: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, Any]]
    served: Sequence[Mapping[str, Any]]
    kills: int = 0
    lag: float = 0
    changes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is wrong with a run, in numbers for the table and in words for a person."""

    lost: int = 0
    duplicates: int = 0
    faults: tuple[str, ...] = ()


@dataclass
class _Faults:
    texts: list[str] = field(default_factory=list)

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.texts.append(text)


def check_run(record: RunRecord) -> Findings:
    """Check a run against the engine's promises; no faults means that it kept them all."""
    faults = _Faults()
    faults.require(len(record.requests) == 1, f"{len(record.requests)} requests stand for one")
    served = Counter(entry["userId"] for entry in record.served if entry["status"] in _SUCCESS)
    by_user = {str(row.get("UserId")): row for row in record.rows}
    lost = _lost(record, by_user, faults)
    for request in record.requests[:1]:
        _same_revokes(record, request, served, faults)
        _counts(request, record.rows, faults)
    for identity in record.protected:
        faults.require(not served[identity], f"protected user {identity} was sent to Graph")
        faults.require(
            by_user.get(identity, {}).get("Status") == "skipped", f"protected user {identity} is not skipped"
        )
    duplicates = sum(count - 1 for count in served.values() if count > 1)
    allowed = (DUPLICATES_PER_KILL if record.lag <= READ_FOR_SECONDS else _IN_FLIGHT) * record.kills
    faults.require(duplicates <= allowed, f"{duplicates} users were revoked again, {allowed} may be")
    faults.texts.extend(record.changes)
    return Findings(lost=lost, duplicates=duplicates, faults=tuple(faults.texts))


def _lost(record: RunRecord, by_user: Mapping[str, Mapping[str, Any]], faults: _Faults) -> int:
    """Users without a final status, and users who did not end as they should: nothing hinders a single one."""
    ends = {identity: str(by_user.get(identity, {}).get("Status", "missing")) for identity in record.asked}
    open_users = [
        identity
        for identity, status in ends.items()
        if exchanges.STATUS_RANK.get(status, 0) < exchanges.STATUS_RANK["verified"]
    ]
    short = Counter(status for status in ends.values() if status != "verified")
    faults.require(not short, "not verified: " + ", ".join(f"{count} {status}" for status, count in short.items()))
    extra = set(by_user) - record.asked - record.protected
    faults.require(not extra, f"{len(extra)} users have a row and were not asked for")
    faults.require(len(by_user) == len(record.rows), f"{len(record.rows) - len(by_user)} users have more than one row")
    unfinished = [request for request in record.requests if request.get("Status") not in exchanges.FINAL_REQUEST]
    faults.require(not unfinished, "the request has no final status")
    return len(open_users)


def _same_revokes(record: RunRecord, request: Mapping[str, Any], served: Counter[str], faults: _Faults) -> None:
    begun = datetime.fromisoformat(str(request["RequestedAt"]))
    first = min((datetime.fromisoformat(entry["at"]) for entry in record.served), default=begun)
    faults.require(first >= begun, "a user was revoked before the request was made")
    claimed = {str(row.get("UserId")) for row in record.rows if row.get("Status") in _ACCEPTED}
    done = set(served) - record.protected
    faults.require(claimed <= done, f"{len(claimed - done)} rows claim a revoke that Graph never carried out")
    faults.require(done <= claimed, f"{len(done - claimed)} revokes of Graph stand in no row")


def _counts(request: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], faults: _Faults) -> None:
    counted = Counter(str(row.get("Status")) for row in rows)
    logged = {status: int(request.get(f"Counts{status.capitalize()}") or 0) for status in _COUNTED}
    wrong = [
        f"{status} {logged[status]} for {counted[status]}" for status in _COUNTED if logged[status] != counted[status]
    ]
    faults.require(not wrong, "counts differ from the rows: " + ", ".join(wrong))
    faults.require(int(request.get("CountsTotal") or 0) == len(rows), "the total differs from the rows")


class RowHistory:
    """Remembers rows as they were observed and reports changes that may not happen."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self._seen: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self._reported: set[str] = set()

    def observe(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare with earlier rows: a status only moves forward, and a row with its final status never changes."""
        for row in rows:
            key = str(row["RowKey"])
            rank = exchanges.STATUS_RANK.get(str(row.get("Status")), 0)
            before_rank, before = self._seen.get(key, (0, row))
            if rank < before_rank:
                self._report(key, f"row {key} went back from {before['Status']} to {row.get('Status')}")
            elif before_rank == exchanges.STATUS_RANK["verified"] and dict(before) != dict(row):
                self._report(key, f"row {key} changed after its final status")
            self._seen[key] = (rank, dict(row))
        present = {str(row["RowKey"]) for row in rows}
        for key in self._seen.keys() - present:
            self._report(key, f"row {key} is gone")

    def _report(self, key: str, text: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            self.changes.append(text)
