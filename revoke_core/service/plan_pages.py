"""Planning a request page by page: whatever its size, one page is in memory, and a crash costs one page of reads."""

from __future__ import annotations

import asyncio
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.folding import Named
from revoke_core.domain.identifiers import user_key
from revoke_core.service.planning import UNPROVEN_BY_PERMISSION, Lookup, Planner, unplanned, warnings_for
from revoke_core.service.run_in_hand import ROWS_PER_COMMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.results import Problem, UserRow
    from revoke_core.ports import StatusLog, UserIndex
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.closing import Ending
    from revoke_core.service.planning import PlannedPage
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.sources import SourcePage, Sources
    from revoke_core.service.waiting import Pauses

_INDEXED_AT_ONCE: Final = 1000
# From which position on a page has how many users. The first revokes of a long list need not wait until hundreds of
# users are looked up, nor the next ones. Later pages are seven transactions of rows, and entries by user that
# mostly fill one transaction for each first digit.
_PAGES: Final = ((400, 7 * ROWS_PER_COMMIT), (1, 4 * ROWS_PER_COMMIT), (0, 100))


class PagedPlanning:
    """Where the planning of one request stands. Its own memory runs ahead of what is committed by one write at most."""

    def __init__(
        self,
        *,
        request: RevocationRequest,
        hand: RunInHand,
        backlog: Backlog,
        pauses: Pauses,
        sources: Sources,
        planner: Planner,
        log: StatusLog,
        index: UserIndex,
        max_users: int,
        lookup: Lookup | None = None,
    ) -> None:
        self.planned = hand.run.planned
        self.positions = hand.run.positions
        self._checkpoint = hand.run.checkpoint
        self._excluded = hand.run.excluded
        self._cancelled = hand.run.cancelled
        self._readable = UNPROVEN_BY_PERMISSION not in hand.run.warnings
        self._request = request
        self._hand = hand
        self._backlog = backlog
        self._pauses = pauses
        self._sources = sources
        self._planner = planner
        self._log = log
        self._index = index
        self._max_users = max_users
        self._lookup = lookup
        self._named: Named | None = None
        self._indexing: asyncio.Task[None] | None = None
        # Whether rows of a page that was not finished may stand behind those that count.
        self._has_rest = False

    @property
    def readable(self) -> bool:
        """Whether users could be looked up, so far."""
        return self._readable

    @property
    def is_named_only(self) -> bool:
        """Whether the request says itself whom it means, so that nobody has to confirm who was found."""
        return not self._request.groups and self._request.filter is None

    async def next_page(self, ending: Ending | None) -> None:
        """Plan one more page. With an ``ending`` its users get it as they are; nobody is looked up any more."""
        request_id = self._hand.run.request_id
        if ending and self._sources.are_found(self._request, self._checkpoint):
            # Who would have been found was never accepted. That the time was up, and not that there is nobody, is told.
            await (self._end() if ending.problem is problems.CANCELLED else self._refuse(ending.problem))
            return
        most = next(size for start, size in _PAGES if self.positions >= start)
        page = await self._sources.page(request_id, self._request, self._checkpoint, most=most)
        if page.refusal:
            await self._refuse(page.refusal)
        elif page.obstacle:
            await self._hand.note(**await self._pauses.obstacle("read", page.obstacle, page.pause))
        elif ending:
            await self._enter(page, await self._unseen(page.users, ending), excluded=0, ending=ending)
        else:
            await self._plan(page)

    async def recover(self) -> None:
        """After taking over: what a worker that died has left half done."""
        run = self._hand.run
        self._has_rest = not run.planned
        if run.planned:
            # It may have died before it did that itself.
            await self._log.trim(run.request_id, after=run.positions)
        if run.indexed_to < run.positions:
            found = self._log.rows(run.request_id, after=run.indexed_to)
            # Behind these stand users of a page that broke off, who may turn out to be no part of the request.
            rows = [row async for row in found if row.position <= run.positions]
            for chunk in batched(rows, _INDEXED_AT_ONCE, strict=False):
                await self._index.add(run.request_id, chunk)
            await self._hand.note(indexed_to=run.positions)

    def forget(self) -> None:
        """Let go of who was named, the largest thing that is known here; whoever goes on reads it from the rows."""
        self._named = None

    async def indexed(self) -> None:
        """Once everybody planned so far is entered by user."""
        if self._indexing:
            # A worker that is told to stop while it waits here still lets this end.
            await asyncio.shield(self._indexing)

    async def _plan(self, page: SourcePage) -> None:
        made = await self._made(page)
        if isinstance(made, Lookup):
            self._lookup = made
            problem = made.obstacle or problems.GRAPH_UNAVAILABLE
            await self._hand.note(**await self._pauses.obstacle("read", problem, made.pause))
            return
        self._lookup = None
        self._readable = self._readable and made.readable
        await self._enter(page, made.rows, excluded=made.excluded)

    async def _made(self, page: SourcePage) -> PlannedPage | Lookup:
        """By itself, so that what Graph said of the page, the largest part of it, is let go before rows are written."""
        named = await self._known_names()
        lookup = await self._planner.lookup(page.users, self._lookup)
        return await self._planner.page(self._request, page.users, lookup, named, first=self.positions + 1)

    async def _enter(
        self, page: SourcePage, rows: list[UserRow], *, excluded: int, ending: Ending | None = None
    ) -> None:
        """Write a page; a small one is committed together with the first mark."""
        if not self.is_named_only and self.positions + len(rows) > self._max_users:
            await self._refuse(problems.too_many_users(self._max_users))
            return
        await self.indexed()
        positions, planned = self.positions + len(rows), page.checkpoint is None
        # From memory, as all of these: the page before may not be committed yet.
        cancelled = self._cancelled + (len(rows) if ending and ending.problem is problems.CANCELLED else 0)
        changes: dict[str, Any] = {
            "checkpoint": page.checkpoint,
            "planned": planned,
            "positions": positions,
            "excluded": self._excluded + excluded,
            "cancelled": cancelled,
            # Whoever comes again because the list had to begin again was not named twice.
            "duplicates": 0 if page.is_repeated else len(page.users) - len(rows),
            "proving": self._request.verify and self._readable,
            "warnings": warnings_for(self._request, readable=self._readable),
        }
        await self._hand.add_page(rows, **changes, **self._pauses.cleared("read"))
        # Only now: until its last write is entered, nobody may take a page's users from the table.
        self._excluded += excluded
        self._cancelled = cancelled
        self._checkpoint, self.positions = page.checkpoint, positions
        if len(rows) > 1 or not planned:
            logs.event("users_planned", requestId=self._hand.run.request_id, planned=positions, last=planned)
        self._backlog.planned(rows)
        self._indexing = asyncio.create_task(self._enter_in_index(rows, positions))
        if planned:
            await self._trim()
            self.planned = True

    async def _enter_in_index(self, rows: Sequence[UserRow], positions: int) -> None:
        await self._index.add(self._hand.run.request_id, rows)
        await self._hand.note(indexed_to=positions)

    async def _refuse(self, problem: Problem) -> None:
        """The whole request fails: nobody is revoked."""
        await self._end(refusal=problem)

    async def _end(self, **changes: Any) -> None:
        """Nobody else is planned; those who have their rows are left to whoever closes."""
        await self._hand.write(planned=True, **changes)
        await self._trim()
        self.planned = True

    async def _trim(self) -> None:
        """Take the rows of a page that broke off away, once it is written that nobody comes behind the others.

        Any earlier, a worker that stood still could take away what another one has planned meanwhile.
        """
        if self._has_rest:
            await self._hand.flush()
            await self._log.trim(self._hand.run.request_id, after=self.positions)
            self._has_rest = False

    async def _unseen(self, users: Sequence[UserRef], ending: Ending) -> list[UserRow]:
        """Rows with the last word for users who were not named before."""
        named = await self._known_names()
        new = [user for user in users if named.add(user.key)]
        return [row.ended(ending.status, ending.problem) for row in unplanned(new, first=self.positions + 1)]

    async def _known_names(self) -> Named:
        """Who was named in earlier pages; read from the rows when another worker planned them."""
        if self._named is None:
            self._named = Named()
            if self.positions:
                async for identity in self._log.identities(self._hand.run.request_id, to=self.positions):
                    self._named.add(user_key(identity))
        return self._named
