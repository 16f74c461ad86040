"""Planning page by page: whatever the request's size, one page is in memory, and a crash costs one page of reads."""

from __future__ import annotations

import asyncio
from itertools import batched
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.run import RunChanges
from revoke_core.domain.seen_users import SeenUsers
from revoke_core.service.engine.lookup import (
    Lookup,
    PlannedPage,
    PlannedUsers,
    unplanned,
)
from revoke_core.service.engine.request_warnings import warnings_for
from revoke_core.service.engine.unit_of_work import ROWS_PER_COMMIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.problems import Problem
    from revoke_core.domain.user_state import TerminalReason, UserRow
    from revoke_core.ports.status_log import StatusLog, UserIndex
    from revoke_core.service.engine.context import RunContext
    from revoke_core.service.engine.lookup import UserLookup
    from revoke_core.service.engine.sources import SourcePage, Sources

_INDEXED_AT_ONCE: Final = 1000
# So many users who cannot be looked up are no exceptions: planning waits for them, or an outage would fill the memory.
_MOST_DEFERRED: Final = 1000
# From which position on a page has how many users. The first revokes of a long list need not wait until hundreds of
# users are looked up, nor the next ones. Later pages are seven transactions of rows, and index entries that mostly
# fill one transaction for each first digit.
_PAGES: Final = ((400, 7 * ROWS_PER_COMMIT), (1, 4 * ROWS_PER_COMMIT), (0, 100))


class Planner:
    """Turns the pages of a request's sources into user rows; ``unit.ahead`` says how far a run is planned."""

    def __init__(
        self, *, sources: Sources, lookup: UserLookup, log: StatusLog, index: UserIndex, max_users: int
    ) -> None:
        self._sources = sources
        self._lookup = lookup
        self._log = log
        self._index = index
        self._max_users = max_users

    async def look_up(self, users: Sequence[UserRef]) -> Lookup:
        """Ask Graph who the users of a request are before it is accepted; nothing is changed."""
        return await self._lookup.look_up(users)

    async def start(self, run: RunContext, reason: TerminalReason | None) -> datetime | None:
        """Start planning the next page if there is one; returns from when on, while the read gate is closed."""
        if run.unit.ahead.planned or run.is_planning_page:
            return None
        if not reason and run.users.deferred >= _MOST_DEFERRED:
            return None
        if not reason and (closed := await run.backoff.open_from("read")):
            return closed
        run.planning.page = run.tasks.spawn(self.plan_page(run, reason))
        return None

    async def plan_page(self, run: RunContext, reason: TerminalReason | None = None) -> None:
        """Plan one more page; with a terminal ``reason`` its users end as they are, and none is looked up any more."""
        ahead = run.unit.ahead
        if reason and self._sources.are_found(run.request, ahead.checkpoint):
            # Users that would have been found were never accepted. The time-out is the reason, not an empty result.
            refusal = None if reason.problem is problems.CANCELLED else reason.problem
            await self._end(run, refusal)
            return
        most = next(size for start, size in _PAGES if ahead.positions >= start)
        page = await self._sources.page(run.record.id, run.request, ahead.checkpoint, most=most)
        if page.refusal:
            await self._end(run, page.refusal)
        elif page.obstacle:
            run.backoff.blocked("read", page.obstacle, page.pause, at_least=page.failures)
        elif reason:
            ended = await self._terminated(run, page.users, reason)
            await self._insert(run, page, PlannedPage(rows=ended, excluded=0, readable=True), reason=reason)
        else:
            await self._look_up(run, page)

    async def recover(self, run: RunContext) -> None:
        """After taking over: finish what a worker that died has left half done."""
        row = run.unit.run
        run.planning.has_leftovers = not row.planned
        if row.planned:
            # It may have died before it did that itself.
            await self._log.delete_after(row.request_id, after=row.positions)
        if row.indexed_to < row.positions:
            found = self._log.iter_users(row.request_id, after=row.indexed_to)
            # Behind these stand users of an unfinished page, who may turn out to be no part of the request.
            rows = [user async for user in found if user.position <= row.positions]
            for chunk in batched(rows, _INDEXED_AT_ONCE, strict=False):
                await self._index.add(row.request_id, chunk)
            run.unit.enqueue(indexed_to=row.positions)

    @staticmethod
    async def indexed(run: RunContext) -> None:
        """Wait until all users planned so far are in the index."""
        if run.planning.indexing:
            await run.planning.indexing

    async def _look_up(self, run: RunContext, page: SourcePage) -> None:
        made = await self._planned(run, page)
        if isinstance(made, Lookup):
            run.planning.lookup = made
            run.backoff.blocked("read", made.obstacle or problems.GRAPH_UNAVAILABLE, made.pause)
            return
        run.planning.lookup = None
        await self._insert(run, page, made)

    async def _planned(self, run: RunContext, page: SourcePage) -> PlannedPage | Lookup:
        """By itself, so that Graph's answers, the largest part of a page, are freed before rows are written."""
        seen = await seen_users(run, self._log)
        lookup = await self._lookup.look_up(page.users, run.planning.lookup)
        run.planning.exclusion = await self._lookup.find_excluded(run.request, run.planning.exclusion)
        planned = PlannedUsers(request=run.request, users=page.users, exclusion=run.planning.exclusion)
        return await self._lookup.plan_rows(planned, lookup, seen, first=run.unit.ahead.positions + 1)

    async def _insert(
        self,
        run: RunContext,
        page: SourcePage,
        made: PlannedPage,
        *,
        reason: TerminalReason | None = None,
    ) -> None:
        """Write a page; a small one is committed together with the first send intent."""
        ahead, request, rows = run.unit.ahead, run.request, made.rows
        positions, planned = ahead.positions + len(rows), page.checkpoint is None
        if not request.is_named_only and positions > self._max_users:
            await self._end(run, problems.too_many_users(self._max_users))
            return
        await self.indexed(run)
        readable = made.readable and ahead.readable
        changes = RunChanges(
            checkpoint=page.checkpoint,
            planned=planned,
            positions=positions,
            excluded=ahead.excluded + made.excluded,
            cancelled=ahead.cancelled + (len(rows) if reason and reason.problem is problems.CANCELLED else 0),
            readable=readable,
            verifying=request.verify and readable,
            warnings=warnings_for(request, readable=readable, others=(*ahead.warnings, *made.warnings)),
            has_unmatched=ahead.has_unmatched or made.has_unmatched,
        )
        # A user that comes again because its list had to begin again was not named twice.
        duplicates = 0 if page.is_repeated else len(page.users) - len(rows)
        run.backoff.unblocked("read")
        await run.unit.insert_rows(rows, duplicates=duplicates, **changes)
        if len(rows) > 1 or not planned:
            logs.event("users_planned", requestId=run.record.id, planned=positions, last=planned)
        run.users.add_planned(rows)
        run.planning.indexing = asyncio.create_task(self._add_to_index(run, rows, positions))
        if planned:
            await self._delete_leftovers(run)

    async def _add_to_index(self, run: RunContext, rows: Sequence[UserRow], positions: int) -> None:
        await self._index.add(run.record.id, rows)
        run.unit.enqueue(indexed_to=positions)

    async def _end(self, run: RunContext, refusal: Problem | None) -> None:
        """No further user is planned; with a ``refusal`` the planned ones end failed, and none is revoked."""
        await (run.unit.commit(planned=True, refusal=refusal) if refusal else run.unit.commit(planned=True))
        await self._delete_leftovers(run)

    async def _delete_leftovers(self, run: RunContext) -> None:
        """Remove rows of an unfinished page, once it is committed that none comes behind the planned users.

        Any earlier, a worker that stood still could remove what another one has planned meanwhile.
        """
        if run.planning.has_leftovers:
            await run.unit.flush()
            await self._log.delete_after(run.record.id, after=run.unit.ahead.positions)
            run.planning.has_leftovers = False

    async def _terminated(self, run: RunContext, users: Sequence[UserRef], reason: TerminalReason) -> list[UserRow]:
        """Final rows for users that earlier pages did not have."""
        seen = await seen_users(run, self._log)
        new = [user for user in users if seen.add(user.key)]
        rows = unplanned(new, first=run.unit.ahead.positions + 1)
        return [row.ended(reason.status, reason.problem) for row in rows]


async def seen_users(run: RunContext, log: StatusLog) -> SeenUsers:
    """The users of earlier pages; read from the rows when another worker planned them."""
    async with run.planning.loading_seen:
        if run.planning.seen is None:
            seen = SeenUsers()
            if to := run.unit.ahead.positions:
                async for identity in log.iter_identities(run.record.id, to=to):
                    seen.add(identity)
            run.planning.seen = seen
        return run.planning.seen
