"""The open users of one request that this worker has in memory: a window over the rows, whatever their number."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from revoke_core.domain.results import Doubt, UserRow, UserStatus
from revoke_core.domain.schedules import next_read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from revoke_core.ports import StatusLog

# 200 rows take half a megabyte while they are read, 500 rows 1.3; a page is ten seconds of Graph's rate.
_PAGE: Final = 200
_LOW: Final = 160
# Users whose cut-off lags are forgotten beyond this number and read again from the table later.
_MOST_UNPROVEN: Final = 1000


class Backlog:
    """Users to send (in order), in flight, in doubt, and unproven, by position; ``commit`` writes what is found.

    What it knows of reads is this worker's own memory: whoever takes over reads what is due at once.
    """

    def __init__(
        self, *, request_id: str, log: StatusLog, commit: Callable[[], Awaitable[None]], loaded_to: int = 0
    ) -> None:
        self.loaded_to = loaded_to
        self._commit = commit
        self._request_id = request_id
        self._log = log
        self._unsent: deque[UserRow] = deque()
        self._again: deque[UserRow] = deque()
        self._in_flight: dict[int, UserRow] = {}
        self._doubtful: dict[int, UserRow] = {}
        self._unproven: dict[int, UserRow] = {}
        self._read_due: dict[int, datetime] = {}
        self._proofs_loaded_to = 0
        self._next_round: datetime | None = None
        # Whoever changes while a page is read. Kept any longer, it would come to hold every user of the request.
        self._changed: set[int] | None = None

    @property
    def unsent(self) -> int:
        """How many users in memory wait to be sent."""
        return len(self._unsent) + len(self._again)

    @property
    def done_to(self) -> int:
        """The position up to which no user waits to be sent or is in doubt."""
        first = [self._unsent[0].position] if self._unsent else []
        waiting = (*self._in_flight, *self._doubtful, *(row.position for row in self._again), *first)
        return min(waiting, default=self.loaded_to + 1) - 1

    @property
    def is_empty(self) -> bool:
        """Whether nobody in memory has anything left to be done."""
        return not (self.unsent or self._in_flight or self._doubtful or self._unproven)

    def planned(self, rows: Sequence[UserRow]) -> None:
        """Take freshly planned users along where that keeps the order and the window small."""
        if rows and self.loaded_to == rows[0].position - 1 and self.unsent < _LOW:
            self._unsent.extend(row for row in rows if row.status is UserStatus.PENDING)
            self.loaded_to = rows[-1].position

    def wants_more(self, positions: int) -> bool:
        """Whether the next of so many users should be read from the table."""
        return self.unsent < _LOW and self.loaded_to < positions

    async def load(self, positions: int) -> None:
        """Read the next waiting users."""
        found, complete, changed = await self._page(UserStatus.PENDING, self.loaded_to)
        known = {*self._in_flight, *self._doubtful, *changed, *(row.position for row in self._again)}
        for row in found:
            # Planning may have handed users over while the page was read.
            if self.loaded_to < row.position <= positions and row.position not in known:
                if row.sent_at:
                    self._await_read(self._doubtful, row)
                else:
                    self._unsent.append(row)
        self.loaded_to = max(self.loaded_to, positions if complete else min(positions, found[-1].position))

    def take(self, number: int) -> list[UserRow]:
        """The next users to send; those that have to be sent again come first."""
        taken: list[UserRow] = []
        while len(taken) < number and (queue := self._again or self._unsent):
            taken.append(queue.popleft())
        self._in_flight |= {row.position: row for row in taken}
        return taken

    def put_back(self, rows: Iterable[UserRow]) -> None:
        """Users whose call never left."""
        for row in rows:
            self._in_flight.pop(row.position, None)
            self._again.append(row)

    def landed(self, row: UserRow, *, proving: bool) -> None:
        """What became of a user who was sent or read."""
        if self._changed is not None:
            self._changed.add(row.position)
        self._read_due.pop(row.position, None)
        for group in (self._in_flight, self._doubtful, self._unproven):
            group.pop(row.position, None)
        if row.status is UserStatus.PENDING:
            if row.sent_at:
                self._await_read(self._doubtful, row)
            else:
                self._again.append(row)
        elif row.status is UserStatus.REVOKED and proving:
            self._await_read(self._unproven, row)

    def due(self, now: datetime, number: int) -> list[UserRow]:
        """Users whose cut-off is to be read by now; each is handed out once until ``was_read``."""
        places = [place for place, moment in self._read_due.items() if moment <= now][:number]
        for place in places:
            del self._read_due[place]
        return [row for place in places if (row := self._doubtful.get(place) or self._unproven.get(place))]

    def next_due(self) -> datetime | None:
        """When the next cut-off is to be read, Graph's clock."""
        return min(self._read_due.values(), default=None)

    def was_read(self, row: UserRow, at: datetime | None) -> None:
        """Nothing new about a user; ``None`` when the read did not succeed and is due again."""
        if row.position in self._doubtful or row.position in self._unproven:
            moment = next_read(row, at)
            if moment:
                self._read_due[row.position] = moment

    def is_waiting(self, row: UserRow) -> bool:
        """Whether nothing else has become of a user who is being read."""
        return (self._doubtful.get(row.position) or self._unproven.get(row.position)) == row

    def give_up_reading(self) -> list[UserRow]:
        """Nobody waits for a read any more; returns those in doubt."""
        doubtful = list(self._doubtful.values())
        self._unproven.clear()
        self._read_due.clear()
        return doubtful

    def forget_lagging(self, now: datetime, soon: timedelta) -> None:
        """Keep the window small: what is not read soon is read from the table when its time comes."""
        if len(self._unproven) > _MOST_UNPROVEN:
            for place in [place for place, moment in self._read_due.items() if moment > now + soon]:
                if self._unproven.pop(place, None):
                    del self._read_due[place]

    def drop_unsent(self) -> None:
        """Forget everybody who waits to be sent; their rows still say so."""
        self._again.clear()
        self._unsent.clear()

    def misses_proofs(self, revoked: int) -> bool:
        """Whether more users are unproven than are in memory, and there is room for them."""
        return revoked > len(self._unproven) and len(self._unproven) < _MOST_UNPROVEN // 2

    @property
    def next_round(self) -> datetime | None:
        """When the unproven users in the table are to be gone through again; ``None`` for at once."""
        return self._next_round

    async def load_unproven(self, now: datetime, every: timedelta) -> None:
        """Read more unproven users, round after round."""
        found, complete, changed = await self._page(UserStatus.REVOKED, self._proofs_loaded_to)
        for row in found:
            if row.position not in changed and row.position not in self._unproven:
                self._await_read(self._unproven, row)
        self._proofs_loaded_to = 0 if complete else found[-1].position
        self._next_round = now + every if complete else None

    def adopt_flight(self, rows: Iterable[UserRow], sent_at: datetime) -> list[tuple[UserRow, UserRow]]:
        """Users of a call whose worker died: in doubt from when it was announced. Pairs of before and after."""
        pairs = [
            (row, replace(row, sent_at=sent_at, attempts=row.attempts + 1, doubt=Doubt.CRASH))
            for row in rows
            if row.status is UserStatus.PENDING and row.sent_at is None
        ]
        for _, row in pairs:
            self._await_read(self._doubtful, row)
        return pairs

    def is_in_doubt(self, position: int) -> bool:
        """Whether a user's call may have reached Graph."""
        return position in self._doubtful or position in self._in_flight

    def _await_read(self, group: dict[int, UserRow], row: UserRow) -> None:
        group[row.position] = row
        moment = next_read(row, None)
        if moment:
            self._read_due[row.position] = moment

    async def _page(self, status: UserStatus, after: int) -> tuple[list[UserRow], bool, set[int]]:
        """Rows, whether they were the last, and who changed meanwhile: what the page says of those is old."""
        # In this order, or somebody who changes during the commit would be taken for what the table still says.
        self._changed = changed = set[int]()
        await self._commit()
        found, complete = await self._log.waiting_rows(self._request_id, status, after=after, limit=_PAGE)
        self._changed = None
        return found, complete, changed
