"""Reading cut-offs back: proof for revoked users, settlement for ambiguous ones, a few reads at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.permissions import READ_USERS
from revoke_core.domain.responses import Effect, judge_read
from revoke_core.domain.user_state import after_read, resolve_without_read
from revoke_core.service.engine.request_warnings import UNPROVEN_BY_PERMISSION
from revoke_core.service.engine.unit_of_work import ROWS_PER_COMMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import Clock
    from revoke_core.service.engine.context import RunContext

_MOST_READS: Final = 4
_LARGEST_READ: Final = 20
_SCAN_EVERY: Final = timedelta(seconds=30)
_SOON: Final = timedelta(seconds=10)


class Verifier:
    """Starts the reads of a run as they fall due."""

    def __init__(self, *, graph: Graph, clock: Clock) -> None:
        self._graph = graph
        self._clock = clock

    async def start(self, run: RunContext) -> datetime | None:
        """Start reads that are due; returns when the next one is."""
        next_scan = await self._scan(run)
        now, due = self._graph.time(), run.users.next_read_due()
        # What is due was reckoned by Graph's clock. It may be minutes ahead of a host that has had no answer yet, and
        # only an answer shows that: such a host makes its first read at once.
        knows_time = run.reading.has_read or self._graph.has_told_the_time
        read_to = now if knows_time or due is None else max(now, due)
        # The gate is read from storage, so only when there is something to read.
        if due and due <= read_to and (closed := await run.backoff.open_from("read")):
            return closed
        while run.reads < _MOST_READS and (rows := run.users.take_due_reads(read_to, _LARGEST_READ)):
            run.reading.reads.add(run.tasks.spawn(self.read(run, rows)))
            run.reading.has_read = True
        run.users.evict(now, _SOON)
        due = run.users.next_read_due()
        here = due - (now - self._clock.now()) if due and run.reads < _MOST_READS else None
        return min((moment for moment in (here, next_scan) if moment), default=None)

    async def read(self, run: RunContext, rows: Sequence[UserRow]) -> None:
        """Read at most 20 users as they stand now and queue what that changes."""
        asked_at = self._graph.time()
        answers = await self._graph.read_users([row.target for row in rows])
        verdicts = [judge_read(answer) for answer in answers]
        counts = run.unit.ahead.counts
        apart = run.backoff.after("read", verdicts, others=counts.pending + counts.revoked > len(rows))
        if any(verdict.effect is Effect.FORBIDDEN for verdict in verdicts) and not await self._may_read():
            await self._stop_verifying(run)
            return
        # A worker may stand still over an answer; and only an answer shows that this host's clock was ahead of Graph's.
        now = min(asked_at, self._graph.time())
        changed: list[tuple[UserRow | None, UserRow]] = []
        for row, answer, verdict in zip(rows, answers, verdicts, strict=True):
            if not run.users.is_unchanged(row):
                continue
            after = after_read(row, answer, verdict, now=now, verifying=run.unit.run.verifying)
            if after == row:
                is_failed = verdict.effect is Effect.RETRY
                run.users.keep_reading(row, None if is_failed else now, failed_at=now if is_failed and apart else None)
            else:
                changed.append((row, after))
                run.users.update(after, verifying=run.unit.run.verifying)
        if changed:
            run.unit.enqueue(changed)

    async def _scan(self, run: RunContext) -> datetime | None:
        """Load evicted users from the table, once none in memory could be mistaken for one of them."""
        # By what is queued, not by what is committed: a proof that is still queued would look like a missing user.
        if not run.unit.run.verifying or not run.users.misses_unverified(run.unit.ahead.counts.revoked):
            return None
        now = self._clock.now()
        if run.users.next_scan and now < run.users.next_scan:
            return run.users.next_scan
        await run.users.scan_unverified(now, _SCAN_EVERY)
        return None

    async def _may_read(self) -> bool:
        """Whether the token still carries the permission: users were read before, so a 403 is about one user then."""
        try:
            return (await self._graph.token()).may(READ_USERS)
        except TokenUnavailable:
            return True

    async def _stop_verifying(self, run: RunContext) -> None:
        """Reading is not permitted any more: revoked users would wait for a proof that can never come."""
        pairs = [(row, resolve_without_read(row)) for row in run.users.stop_reading()]
        for _, row in pairs:
            run.users.update(row, verifying=False)
        # Queued first: from here on these users may be sent again, and their send intent has to come after this.
        for chunk in batched(pairs, ROWS_PER_COMMIT, strict=False):
            run.unit.enqueue(chunk)
        warnings = tuple(dict.fromkeys((*run.unit.run.warnings, UNPROVEN_BY_PERMISSION)))
        await run.unit.commit(verifying=False, readable=False, warnings=warnings)
