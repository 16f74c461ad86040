"""A request while one worker holds it: its run row, its open users, and the lease that says whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from revoke_core.domain.identifiers import UserRef, parse_user
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.domain.schedules import LEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from revoke_core.ports import Clock, Run, StatusLog


class RunInHand:
    """Writes users, counts and lease together; every write renews the lease and passes the fence or is refused.

    ``open`` are the users without a last word, by position. ``last_reads`` and ``pause_until`` are this worker's own
    memory: whoever takes over reads what is due at once.
    """

    def __init__(self, *, run: Run, rows: Iterable[UserRow], log: StatusLog, clock: Clock) -> None:
        self.run = run
        self.open = {row.position: row for row in rows}
        self.last_reads: dict[int, datetime] = {}
        self.pause_until: datetime | None = None
        self._log = log
        self._clock = clock
        self._drop_finished()

    async def plan(self, rows: Sequence[UserRow], **changes: Any) -> None:
        """Write the rows of a fresh request together with its first state."""
        self.open = {row.position: row for row in rows}
        self._drop_finished(proving=bool(changes.get("proving")))
        await self._save(rows, planned=True, **changes)

    async def write(self, changed: Sequence[UserRow] = (), **changes: Any) -> None:
        """Write changed rows, the counts that follow from them, and the lease."""
        before = [self.open[row.position] for row in changed]
        counts = self.run.counts.moved(before, changed)
        self.open |= {row.position: row for row in changed}
        self._drop_finished(proving=bool(changes.get("proving", self.run.proving)))
        await self._save(changed, counts=counts, **changes)

    async def renew(self) -> None:
        """Keep the lease while nothing else is written; done in its second half only."""
        until = self.run.lease_until
        if until is None or until - self._clock.now() < LEASE / 2:
            await self.write()

    async def _save(self, rows: Sequence[UserRow], **changes: Any) -> None:
        lease: dict[str, Any] = {} if "lease_until" in changes else {"lease_until": self._clock.now() + LEASE}
        changed = replace(self.run, **lease, **changes)
        ended = changed.planned and not self.open
        self.run = await self._log.save(replace(changed, ended=ended), rows)

    def _drop_finished(self, *, proving: bool | None = None) -> None:
        proves = self.run.proving if proving is None else proving
        self.open = {place: row for place, row in self.open.items() if is_open(row, proving=proves)}


def is_open(row: UserRow, *, proving: bool) -> bool:
    """Whether something is still to be done for the user."""
    return row.status is UserStatus.PENDING or (row.status is UserStatus.REVOKED and proving)


def target(row: UserRow) -> UserRef:
    """How the user is named to Graph: by object id wherever it is known."""
    named = parse_user(row.user_id or row.given)
    if named is None:
        raise ValueError("a row of the status log names no user")
    return named
