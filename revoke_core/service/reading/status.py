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
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.ports.status_log import Page
from revoke_core.service.engine.finalizer import warnings_of
from revoke_core.service.engine.lookup import unplanned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.run import Run
    from revoke_core.domain.user_state import UserRow, UserStatus
    from revoke_core.ports.shared import Budget, Clock
    from revoke_core.ports.status_log import StatusLog, UserIndex

USERS_IN_RESOURCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A request with the users to show.

    ``users_token`` leads on where there are more. ``due_at`` is when a waiting request goes on, ``finishes_at`` when
    all its users are likely to have been sent.
    """

    record: RequestRecord
    users: list[UserRow]
    users_token: str | None = None
    due_at: datetime | None = None
    finishes_at: datetime | None = None


class StatusReader:
    """Reads requests as they stand, running ones with the counts of their run row."""

    def __init__(self, *, log: StatusLog, index: UserIndex, budget: Budget, clock: Clock) -> None:
        self._log = log
        self._index = index
        self._budget = budget
        self._clock = clock

    async def status(self, request_id: str) -> Status:
        """One request and at most its first 100 users; ``NotFound`` for an id that no request has."""
        record = await self.find(request_id)
        if record is None:
            raise NotFound(NO_SUCH_REQUEST)
        return await self.status_of(record)

    async def find(self, request_id: str) -> RequestRecord | None:
        """The request's row; ``None`` for an id that no request has."""
        return await self._log.get_request(request_id) if is_request_id(request_id) else None

    async def status_of(self, record: RequestRecord, users: list[UserRow] | None = None) -> Status:
        """The same for a record that was just read or written; ``users`` are its first rows, if they are known."""
        if users is not None:
            return Status(record=record, users=users)
        run, page = await asyncio.gather(
            self._log.get_run(record.id) if not record.status.is_final else _nothing(),
            self._log.list_users(record.id, status=None, size=USERS_IN_RESOURCE, token=None),
        )
        users = page.items
        if run is not None:
            record = _as_running(record, run)
        if not record.status.is_final and not users:
            users = await self._named(record.id)
        due_at = run.due_at if run else None
        # When an operator will turn the pause off is unknown.
        is_paused = run is not None and run.blocked_by == problems.PAUSED.code
        is_reckoned = record.status is RequestStatus.RUNNING and not is_paused
        finishes_at = await self._finishes_at(record, due_at) if is_reckoned else None
        return Status(record=record, users=users, users_token=page.token, due_at=due_at, finishes_at=finishes_at)

    async def summary(self, record: RequestRecord) -> Status:
        """The request as it stands, without its users."""
        return Status(record=await self._as_it_stands(record), users=[])

    async def users(self, request_id: str, *, status: UserStatus | None, size: int, token: str | None) -> Page[UserRow]:
        """A page of the users of a request that was found."""
        return await self._log.list_users(request_id, status=status, size=size, token=token)

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
        page = await self._log.list_requests(
            status=status, since=since, size=size, token=token, requested_by=requested_by
        )
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
        run = None if record.status.is_final else await self._log.get_run(record.id)
        return _as_running(record, run) if run else record

    async def _finishes_at(self, record: RequestRecord, due_at: datetime | None) -> datetime | None:
        """From the shared budget: what is open, at the rate Graph takes it in; never before the request goes on."""
        if not record.counts.pending or record.dry_run:
            return None
        sent_at = self._clock.now() + timedelta(seconds=await self._budget.seconds_for(record.counts.pending))
        return max(sent_at, due_at) if due_at else sent_at

    async def _named(self, request_id: str) -> list[UserRow]:
        """The first named users of a request without rows, as far as they are known without a look-up."""
        request = await self._log.get_inputs(request_id)
        named: Sequence[UserRef] = request.users if request else ()
        if request is not None and request.named_parts and not named:
            named = await self._log.get_named_users(request_id, 0) or ()
        return unplanned(islice(named, USERS_IN_RESOURCE))

    async def _touched(self, user: UserRef, request_id: str, position: int) -> Status | None:
        """The request with the user's row; ``None`` when another user has that position by now.

        A worker died after it had indexed a user, and the next one did not find that user any more.
        """
        record, row = await asyncio.gather(self._log.get_request(request_id), self._log.get_user(request_id, position))
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
