"""Questions to the status log; nothing here changes anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.errors import NO_SUCH_REQUEST, NotFound
from revoke_core.domain.identifiers import is_request_id
from revoke_core.domain.results import RequestedBy, RequestRecord, RequestStatus, UserRow, UserStatus
from revoke_core.log_ports import Page
from revoke_core.service.planning import unplanned
from revoke_core.service.waiting import warnings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.run import Run
    from revoke_core.ports import Budget, Clock, StatusLog, UserIndex

USERS_IN_RESOURCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A request with the users to show.

    ``next_at`` is when a waiting request goes on, ``finishes_at`` when everybody is likely to have been sent.
    """

    record: RequestRecord
    users: list[UserRow]
    next_at: datetime | None = None
    finishes_at: datetime | None = None


class Reader:
    """Reads requests as they stand, running ones with the counts of their run row."""

    def __init__(self, *, log: StatusLog, index: UserIndex, budget: Budget, clock: Clock) -> None:
        self._log = log
        self._index = index
        self._budget = budget
        self._clock = clock

    async def status(self, request_id: str) -> Status:
        """One request and at most its first 100 users; ``NotFound`` for an id that is none of ours."""
        record = await self.find(request_id)
        if record is None:
            raise NotFound(NO_SUCH_REQUEST)
        return await self.status_of(record)

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request's row; ``None`` for an id that is none of ours."""
        return await self._log.get(request_id) if is_request_id(request_id) else None

    async def status_of(self, record: RequestRecord) -> Status:
        """The same for a record that was just read or written."""
        run, page = await asyncio.gather(
            self._log.run(record.id) if not record.status.is_final else _nothing(),
            self._log.row_page(record.id, status=None, size=USERS_IN_RESOURCE, token=None),
        )
        users = page.items
        if run is not None:
            record = _as_running(record, run)
        if not record.status.is_final and not users:
            users = await self._named(record.id)
        next_at = run.next_at if run else None
        # When an operator turns the pause off, nobody can reckon.
        is_paused = run is not None and run.cause == problems.PAUSED.code
        is_reckoned = record.status is RequestStatus.RUNNING and not is_paused
        finishes_at = await self._finishes_at(record, next_at) if is_reckoned else None
        return Status(record=record, users=users, next_at=next_at, finishes_at=finishes_at)

    async def users(self, request_id: str, *, status: UserStatus | None, size: int, token: str | None) -> Page[UserRow]:
        """A page of the users of a request that was found."""
        return await self._log.row_page(request_id, status=status, size=size, token=token)

    async def requests(
        self,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[Status]:
        """A page of all requests, or of one caller's, newest first, without their users."""
        page = await self._log.page(status=status, since=since, size=size, token=token, requested_by=requested_by)
        shown = await asyncio.gather(*(self._as_it_stands(record) for record in page.items))
        return Page(items=[Status(record=record, users=[]) for record in shown], token=page.token)

    async def history(
        self,
        user: UserRef,
        *,
        status: str | None,
        since: datetime | None,
        size: int,
        token: str | None,
        requested_by: RequestedBy | None = None,
    ) -> Page[Status]:
        """A page of the requests that touched a user, each with that user's row alone; a page may be short."""
        page = await self._index.find(user, size=size, token=token)
        found = await asyncio.gather(*(self._touched(user, *entry) for entry in page.items))
        kept = [
            item
            for item in found
            if item
            and (status is None or item.record.status == status)
            and (since is None or item.record.requested_at >= since)
            and (requested_by is None or requested_by.is_same_caller(item.record.requested_by))
        ]
        return Page(items=kept, token=page.token)

    async def _as_it_stands(self, record: RequestRecord) -> RequestRecord:
        run = None if record.status.is_final else await self._log.run(record.id)
        return _as_running(record, run) if run else record

    async def _finishes_at(self, record: RequestRecord, next_at: datetime | None) -> datetime | None:
        """From the shared budget: what is open, at the rate Graph takes it in; never before the request goes on."""
        if not record.counts.pending or record.dry_run:
            return None
        sent_at = self._clock.now() + timedelta(seconds=await self._budget.seconds_for(record.counts.pending))
        return max(sent_at, next_at) if next_at else sent_at

    async def _named(self, request_id: str) -> list[UserRow]:
        """The first named users of a request without rows, as far as they are known without asking anybody."""
        request = await self._log.inputs(request_id)
        named: Sequence[UserRef] = request.users if request else ()
        if request is not None and request.named_parts and not named:
            named = await self._log.named_users(request_id, 0) or ()
        return unplanned(islice(named, USERS_IN_RESOURCE))

    async def _touched(self, user: UserRef, request_id: str, position: int) -> Status | None:
        """``None`` where somebody else stands by now.

        A worker died after it had entered a user by name, and the next one did not find that user any more.
        """
        record, row = await asyncio.gather(self._log.get(request_id), self._log.row(request_id, position))
        if record is None or row is None or user.key not in row.keys:
            return None
        return Status(record=await self._as_it_stands(record), users=[row])


def _as_running(record: RequestRecord, run: Run) -> RequestRecord:
    """The record with what its run row knows better; before all pages are planned, the rest counts as pending."""
    counts = run.counts
    if not run.planned:
        folded = counts.duplicates - record.counts.duplicates
        more = max(0, record.counts.total - counts.total - max(0, folded))
        counts = replace(counts, total=counts.total + more, pending=counts.pending + more)
    status = RequestStatus.HELD if run.is_held else RequestStatus.RUNNING
    return replace(record, status=status, counts=counts, warnings=warnings_of(run))


async def _nothing() -> None:
    return None
