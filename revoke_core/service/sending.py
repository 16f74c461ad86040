"""The calls of one worker's go at one request: as many in flight as Graph has shown to take, paid from one budget."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.pace import PROBE_EVERY
from revoke_core.domain.schedules import LEASE
from revoke_core.service.revoking import LARGEST_SEND

if TYPE_CHECKING:
    import asyncio

    from revoke_core.domain.pace import Window
    from revoke_core.domain.results import Problem, UserRow
    from revoke_core.ports import Budget, Clock
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.plan_pages import PagedPlanning
    from revoke_core.service.revoking import Revoker, Sent
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.tasks import Tasks
    from revoke_core.service.waiting import Pauses

_PAUSED_LOOK: Final = timedelta(seconds=60)
_BREATH: Final = timedelta(milliseconds=50)


class Sending:
    """Starts calls; ``stopped`` is why nobody else of this request need be sent."""

    def __init__(
        self,
        *,
        hand: RunInHand,
        backlog: Backlog,
        planning: PagedPlanning,
        pauses: Pauses,
        revoker: Revoker,
        budget: Budget,
        clock: Clock,
        tasks: Tasks,
        named: int,
        small: bool,
        paused: bool,
    ) -> None:
        self.stopped: Problem | None = hand.run.stopped
        self._hand = hand
        self._backlog = backlog
        self._planning = planning
        self._pauses = pauses
        self._revoker = revoker
        self._budget = budget
        self._clock = clock
        self._tasks = tasks
        self._named = named
        self._small = small
        self._paused = paused
        self._calls: set[asyncio.Task[Sent]] = set()
        self._window: Window | None = None
        self._call_seconds = 0.0

    @property
    def calls(self) -> int:
        """How many calls are in flight."""
        self._calls = {call for call in self._calls if not call.done()}
        return len(self._calls)

    async def start(self) -> datetime | None:
        """Start calls as long as there are users, tokens, and room for one more call in flight."""
        # By the committed run, as the hold is: until the last page is entered, nobody knows how many were found.
        if not (self._hand.run.planned or self._planning.is_named_only):
            return None
        if self._backlog.wants_more(self._planning.positions):
            await self._backlog.load(self._planning.positions)
        if not self._backlog.unsent:
            return None
        if self._paused:
            await self._hand.note(**self._pauses.held_back(problems.PAUSED))
            return self._clock.now() + _PAUSED_LOOK
        if changes := self._pauses.let_go(problems.PAUSED):
            await self._hand.note(**changes)
        # Where nothing can be read, what a crash leaves in doubt may be sent twice: one call, and no more.
        self._window = self._window or self._budget.window(max(self._named, self._hand.run.counts.total))
        most = min(self._window.size, self._most_calls()) if self._planning.readable else 1
        return await self._fill(most) if self.calls < most else None

    async def _fill(self, most: int) -> datetime | None:
        """Start calls until so many are in flight, or say when that may go on."""
        # The gate is looked at in storage, so only when there is something to pay a call with.
        wanted = min(LARGEST_SEND, self._backlog.unsent)
        payable_at = self._budget.next_at(wanted, small=self._small)
        if payable_at > self._clock.now():
            return payable_at
        if not self._pauses.waits("write"):
            await self._budget.stock(wanted, small=self._small)
        if closed := await self._pauses.open_from("write"):
            return await self._probe(closed)
        wake = None
        while wake is None and self._backlog.unsent and self.calls < most:
            wake = await self._call()
        return wake

    def _most_calls(self) -> int:
        return self._budget.most_calls(self._call_seconds, LARGEST_SEND)

    async def _call(self) -> datetime | None:
        """Start one call, or say when it may start."""
        largest = await self._revoker.largest()
        if not largest:
            await self._hand.note(**await self._pauses.obstacle("write", problems.NO_TOKEN, None))
            return await self._pauses.open_from("write")
        wanted = min(largest, self._backlog.unsent)
        if largest == 1 and self.calls:
            return self._clock.now() + LEASE
        granted = await self._budget.take(wanted, small=self._small)
        if 0 < granted < wanted:
            # The end of a block: filled up from the next one, for a call costs the same whatever it carries.
            granted += await self._budget.take(wanted - granted, small=self._small)
        if not granted:
            return max(self._budget.next_at(wanted, small=self._small), self._clock.now() + _BREATH)
        self._calls.add(self._tasks.spawn(self._called(self._backlog.take(granted))))
        return None

    async def _probe(self, closed: datetime) -> datetime:
        """A gate that is closed for very long is tried with one user now and then, by one worker of all."""
        if not self.calls and await self._pauses.may_probe("write"):
            self._calls.add(self._tasks.spawn(self._called(self._backlog.take(1), is_probe=True)))
        return min(closed, self._clock.now() + PROBE_EVERY)

    async def _called(self, rows: list[UserRow], *, is_probe: bool = False) -> Sent:
        began = self._clock.now()
        sent = await self._revoker.send(self._hand, self._backlog, self._pauses, rows, is_probe=is_probe)
        self._call_seconds = (self._clock.now() - began).total_seconds()
        self.stopped = self.stopped or sent.stopped
        if self._window:
            self._window = self._window.after_clean() if sent.is_clean else self._window.after_throttled()
        return sent
