"""The open users that one worker has in memory: a window over the rows, whatever their number."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from revoke_core.domain.user_state import UserRow, UserStatus, after_crash, next_read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from revoke_core.ports.status_log import StatusLog

# 200 rows take half a megabyte while they are read, 500 rows 1.3; a page is ten seconds of Graph's rate.
_PAGE: Final = 200
_REFILL_BELOW: Final = 160
# Users whose cut-off lags are evicted beyond this number and read again from the table later.
_MOST_UNVERIFIED: Final = 1000


class WorkingSet:
    """Users to send (in order), in flight, ambiguous and unverified, by position; ``commit`` writes what is queued.

    When each cut-off is read next is kept in memory alone: a worker that takes over reads at once what is due.
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
        waiting = (*self._in_flight, *self._ambiguous, *(row.position for row in self._resend), *first)
        return min(waiting, default=self.loaded_to + 1) - 1

    @property
    def is_empty(self) -> bool:
        """Whether no user in memory is open."""
        return not (self.unsent or self._in_flight or self._ambiguous or self._unverified)

    def add_planned(self, rows: Sequence[UserRow]) -> None:
        """Take freshly planned users along where that keeps the order and the window small."""
        if rows and self.loaded_to == rows[0].position - 1 and self.unsent < _REFILL_BELOW:
            self._unsent.extend(row for row in rows if row.status is UserStatus.PENDING)
            self.loaded_to = rows[-1].position

    def wants_more(self, positions: int) -> bool:
        """Whether the next of so many users should be read from the table."""
        return self.unsent < _REFILL_BELOW and self.loaded_to < positions

    async def load(self, positions: int) -> None:
        """Read the next users that wait to be sent or settled."""
        found, complete, changed = await self._page(UserStatus.PENDING, self.loaded_to)
        known = {*self._in_flight, *self._ambiguous, *changed, *(row.position for row in self._resend)}
        for row in found:
            # Planning may have added users while the page was read.
            if self.loaded_to < row.position <= positions and row.position not in known:
                if row.is_ambiguous:
                    self._schedule_read(self._ambiguous, row)
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

    def update(self, row: UserRow, *, verifying: bool) -> None:
        """A user has changed: it stays open, or leaves memory."""
        if self._changed is not None:
            self._changed.add(row.position)
        self._read_due.pop(row.position, None)
        for group in (self._in_flight, self._ambiguous, self._unverified):
            group.pop(row.position, None)
        if row.is_ambiguous:
            self._schedule_read(self._ambiguous, row)
        elif row.status is UserStatus.PENDING:
            self._resend.append(row)
        elif row.status is UserStatus.REVOKED and verifying:
            self._schedule_read(self._unverified, row)

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

    def keep_reading(self, row: UserRow, read_at: datetime | None) -> None:
        """A read changed nothing; ``None`` for a read that failed and is due again."""
        if row.position in self._ambiguous or row.position in self._unverified:
            moment = next_read(row, read_at)
            if moment:
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
