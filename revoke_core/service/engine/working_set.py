"""The open users that one worker has in memory: a window over the rows, whatever their number."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from revoke_core.domain.schedules import growing_pause
from revoke_core.domain.user_state import UserRow, UserStatus, after_crash, next_read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import timedelta

    from revoke_core.ports.status_log import StatusLog

# 200 rows take half a megabyte while they are read, 500 rows 1.3; a page is ten seconds of Graph's rate.
_PAGE: Final = 200
_REFILL_BELOW: Final = 160
# Users whose cut-off lags are evicted beyond this number and read again from the table later.
_MOST_UNVERIFIED: Final = 1000
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)


class WorkingSet:
    """Users to send (in order), in flight, ambiguous and unverified, by position; ``commit`` writes what is queued.

    Users whose own look-up, call or read fails while others get through wait apart, each in growing pauses of its own.
    When each cut-off is read next, and who is sent again when, is kept in memory alone: a worker that takes over does
    at once what is due.
    """

    def __init__(
        self, *, request_id: str, log: StatusLog, commit: Callable[[], Awaitable[None]], loaded_to: int = 0
    ) -> None:
        self.loaded_to = loaded_to
        self._commit = commit
        self._request_id = request_id
        self._log = log
        self._unsent: deque[UserRow] = deque()
        self._resend: deque[UserRow] = deque()
        self._in_flight: dict[int, UserRow] = {}
        self._ambiguous: dict[int, UserRow] = {}
        self._unverified: dict[int, UserRow] = {}
        self._read_due: dict[int, datetime] = {}
        self._deferred: dict[int, UserRow] = {}
        self._lookup_due: dict[int, datetime] = {}
        self._resend_later: dict[int, UserRow] = {}
        self._resend_due: dict[int, datetime] = {}
        # How often in a row the calls and the reads of each user who waits apart have failed.
        self._failed_calls: dict[int, int] = {}
        self._failed_reads: dict[int, int] = {}
        self._unverified_loaded_to = 0
        self._next_scan: datetime | None = None
        # Users that change while a page is read. Kept any longer, it would come to hold every user of the request.
        self._changed: set[int] | None = None

    @property
    def unsent(self) -> int:
        """How many users in memory wait to be sent."""
        return len(self._unsent) + len(self._resend)

    @property
    def low_watermark(self) -> int:
        """The position up to which no user waits to be sent or is ambiguous."""
        first = [self._unsent[0].position] if self._unsent else []
        apart = (*self._deferred, *self._resend_later)
        waiting = (*self._in_flight, *self._ambiguous, *apart, *(row.position for row in self._resend), *first)
        return min(waiting, default=self.loaded_to + 1) - 1

    @property
    def is_empty(self) -> bool:
        """Whether no user in memory is open."""
        apart = self._deferred or self._resend_later
        return not (self.unsent or self._in_flight or self._ambiguous or self._unverified or apart)

    @property
    def deferred(self) -> int:
        """How many users in memory have yet to be looked up."""
        return len(self._deferred)

    @property
    def some_wait_apart(self) -> bool:
        """Whether there are users who wait apart from the others."""
        return bool(self._deferred or self._failed_calls or self._failed_reads)

    def add_planned(self, rows: Sequence[UserRow]) -> None:
        """Take freshly planned users along where that keeps the order and the window small."""
        if rows and self.loaded_to == rows[0].position - 1 and self.unsent < _REFILL_BELOW:
            for row in rows:
                if row.awaits_lookup:
                    self._defer(row, _AT_ONCE)
                elif row.status is UserStatus.PENDING:
                    self._unsent.append(row)
            self.loaded_to = rows[-1].position

    def wants_more(self, positions: int) -> bool:
        """Whether the next of so many users should be read from the table."""
        return self.unsent < _REFILL_BELOW and self.loaded_to < positions

    async def load(self, positions: int) -> None:
        """Read the next users that wait to be sent or settled."""
        found, complete, changed = await self._page(UserStatus.PENDING, self.loaded_to)
        known = {*self._in_flight, *self._ambiguous, *self._deferred, *self._resend_later, *changed}
        known |= {row.position for row in self._resend}
        for row in found:
            # Planning may have added users while the page was read.
            if self.loaded_to < row.position <= positions and row.position not in known:
                if row.is_ambiguous:
                    self._schedule_read(self._ambiguous, row)
                elif row.awaits_lookup:
                    self._defer(row, _AT_ONCE)
                else:
                    self._unsent.append(row)
        self.loaded_to = max(self.loaded_to, positions if complete else min(positions, found[-1].position))

    def take(self, number: int) -> list[UserRow]:
        """The next users to send; those that have to be sent again come first."""
        taken: list[UserRow] = []
        while len(taken) < number and (queue := self._resend or self._unsent):
            taken.append(queue.popleft())
        self._in_flight |= {row.position: row for row in taken}
        return taken

    def requeue(self, rows: Iterable[UserRow]) -> None:
        """Users whose call never left wait to be sent again."""
        for row in rows:
            self._in_flight.pop(row.position, None)
            self._resend.append(row)

    def update(self, row: UserRow, *, verifying: bool, failed_at: datetime | None = None) -> None:
        """A user has changed: it stays open, or leaves memory. One that failed by itself waits apart from then on."""
        if self._changed is not None:
            self._changed.add(row.position)
        self._drop(row.position)
        if failed_at is None or row.status not in (UserStatus.PENDING, UserStatus.REVOKED):
            self._failed_calls.pop(row.position, None)
        self._failed_reads.pop(row.position, None)
        if row.is_ambiguous:
            if failed_at:
                _grown(self._failed_calls, row)
            self._schedule_read(self._ambiguous, row)
        elif row.awaits_lookup:
            self._defer(row, failed_at + growing_pause(row.failed_lookups) if failed_at else _AT_ONCE)
        elif row.status is UserStatus.PENDING and failed_at:
            self._resend_later[row.position] = row
            self._resend_due[row.position] = failed_at + _grown(self._failed_calls, row)
        elif row.status is UserStatus.PENDING:
            self._resend.append(row)
        elif row.status is UserStatus.REVOKED and verifying:
            self._schedule_read(self._unverified, row)

    def take_due_lookups(self, now: datetime, number: int) -> list[UserRow]:
        """Users who are to be looked up by now; each is handed out once until it is updated."""
        positions = [position for position, moment in self._lookup_due.items() if moment <= now][:number]
        for position in positions:
            del self._lookup_due[position]
        return [self._deferred[position] for position in positions]

    def next_lookup_due(self) -> datetime | None:
        """When the next user is to be looked up again."""
        return min(self._lookup_due.values(), default=None)

    def is_deferred(self, row: UserRow) -> bool:
        """Whether a user has not changed while it was looked up."""
        return self._deferred.get(row.position) == row

    def release(self, row: UserRow) -> None:
        """A user who awaits its look-up is sent without."""
        self._drop(row.position)
        self._resend.append(row)

    def take_back(self, now: datetime) -> datetime | None:
        """Users whose own pause is over may be sent again; returns when the next one's is."""
        for position in [position for position, moment in self._resend_due.items() if moment <= now]:
            del self._resend_due[position]
            self._resend.append(self._resend_later.pop(position))
        return min(self._resend_due.values(), default=None)

    def take_due_reads(self, now: datetime, number: int) -> list[UserRow]:
        """Users whose cut-off is to be read by now; each is handed out once until ``keep_reading``."""
        positions = [position for position, moment in self._read_due.items() if moment <= now][:number]
        for position in positions:
            del self._read_due[position]
        found = (self._ambiguous.get(position) or self._unverified.get(position) for position in positions)
        return [row for row in found if row]

    def next_read_due(self) -> datetime | None:
        """When the next cut-off is to be read, Graph's clock."""
        return min(self._read_due.values(), default=None)

    def keep_reading(self, row: UserRow, read_at: datetime | None, *, failed_at: datetime | None = None) -> None:
        """A read changed nothing; ``None`` for a read that failed and is due again, after a pause of its own if asked.

        ``read_at`` and ``failed_at`` are of Graph's clock.
        """
        if row.position not in self._ambiguous and row.position not in self._unverified:
            return
        if failed_at:
            self._read_due[row.position] = failed_at + _grown(self._failed_reads, row)
        elif moment := next_read(row, read_at):
            if read_at:
                self._failed_reads.pop(row.position, None)
            self._read_due[row.position] = moment

    def is_unchanged(self, row: UserRow) -> bool:
        """Whether a user has not changed while its cut-off was read."""
        return (self._ambiguous.get(row.position) or self._unverified.get(row.position)) == row

    def stop_reading(self) -> list[UserRow]:
        """No user waits for a read any more; returns the ambiguous ones."""
        self._unverified.clear()
        self._read_due.clear()
        return list(self._ambiguous.values())

    def evict(self, now: datetime, soon: timedelta) -> None:
        """Keep the window small: users that are not read soon are read from the table when their time comes."""
        if len(self._unverified) > _MOST_UNVERIFIED:
            for position in [position for position, moment in self._read_due.items() if moment > now + soon]:
                if self._unverified.pop(position, None):
                    del self._read_due[position]

    def drop_unsent(self) -> None:
        """Drop the users that wait to be sent; their rows still say so."""
        self._resend.clear()
        self._unsent.clear()

    def misses_unverified(self, revoked: int) -> bool:
        """Whether more users are unverified than are in memory, and there is room for them."""
        return revoked > len(self._unverified) and len(self._unverified) < _MOST_UNVERIFIED // 2

    @property
    def next_scan(self) -> datetime | None:
        """When the table is scanned for unverified users again; ``None`` for at once."""
        return self._next_scan

    async def scan_unverified(self, now: datetime, every: timedelta) -> None:
        """Read more unverified users, scan after scan."""
        found, complete, changed = await self._page(UserStatus.REVOKED, self._unverified_loaded_to)
        for row in found:
            if row.position not in changed and row.position not in self._unverified:
                self._schedule_read(self._unverified, row)
        self._unverified_loaded_to = 0 if complete else found[-1].position
        self._next_scan = now + every if complete else None

    def adopt_intent(self, rows: Iterable[UserRow], sent_at: datetime) -> list[tuple[UserRow | None, UserRow]]:
        """Users of a call whose worker died are ambiguous; pairs of before and after."""
        pairs: list[tuple[UserRow | None, UserRow]] = []
        for row in rows:
            after = after_crash(row, sent_at)
            if after is not row:
                pairs.append((row, after))
                self._schedule_read(self._ambiguous, after)
        return pairs

    def may_be_sent(self, position: int) -> bool:
        """Whether a call for the user may have reached Graph."""
        return position in self._ambiguous or position in self._in_flight

    def _defer(self, row: UserRow, due: datetime) -> None:
        self._deferred[row.position] = row
        self._lookup_due[row.position] = due

    def _drop(self, position: int) -> None:
        for moments in (self._read_due, self._lookup_due, self._resend_due):
            moments.pop(position, None)
        for group in (self._in_flight, self._ambiguous, self._unverified, self._deferred, self._resend_later):
            group.pop(position, None)

    def _schedule_read(self, group: dict[int, UserRow], row: UserRow) -> None:
        group[row.position] = row
        moment = next_read(row, None)
        if moment:
            self._read_due[row.position] = moment

    async def _page(self, status: UserStatus, after: int) -> tuple[list[UserRow], bool, set[int]]:
        """Rows, whether they were the last, and the users that changed meanwhile, of which the page is out of date."""
        # In this order: a user that changes during the commit must not be taken for what the table still says.
        self._changed = changed = set[int]()
        await self._commit()
        found, complete = await self._log.list_waiting(self._request_id, status, after=after, limit=_PAGE)
        self._changed = None
        return found, complete, changed


def _grown(failures: dict[int, int], row: UserRow) -> timedelta:
    """The pause of a user that has failed once more."""
    failures[row.position] = failures.get(row.position, 0) + 1
    return growing_pause(failures[row.position])
