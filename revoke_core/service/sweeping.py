"""The timer's work: drive again what has no heartbeat; no killed host and no lost message strands a request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import accepted_at

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.ports import Clock, Ledger, StatusLog, WorkQueue

# A request that nobody has begun by then has lost its message: the one of a request that is carried out in its call
# comes after a minute.
_QUIET: Final = timedelta(seconds=65)
_GRACE: Final = timedelta(seconds=15)
_DRIVEN_AGAIN: Final = timedelta(minutes=2)
_ORPHAN: Final = timedelta(minutes=10)


async def send_or_leave(queue: WorkQueue, request_id: str) -> None:
    """Send a message behind what has just been stored: should it fail now, the timer sends another.

    So nobody is told that nothing was accepted, for it was.
    """
    try:
        await queue.put(request_id)
    except Unavailable as problem:
        logs.failure("work_message_left_to_timer", problem, requestId=request_id)


class Sweeper:
    """Looks at every open request and sends a message for those that nobody works on and no message will come for."""

    def __init__(self, *, log: StatusLog, ledger: Ledger, queue: WorkQueue, clock: Clock) -> None:
        self._log = log
        self._ledger = ledger
        self._queue = queue
        self._clock = clock

    async def sweep(self) -> int:
        """Returns how many requests were driven again."""
        driven = 0
        for request_id, driven_at in await self._ledger.open_requests():
            try:
                is_stranded = await self._is_stranded(request_id, driven_at)
            except (KeyError, TypeError, ValueError) as problem:
                # Its row is damaged, or of a later version of the app: no reason to forget all that come after it.
                logs.failure("request_unreadable", problem, requestId=request_id)
                continue
            if is_stranded and self._may_drive(request_id, driven_at):
                await self._ledger.driven(request_id)
                await self._queue.put(request_id)
                logs.event("request_driven_again", requestId=request_id)
                driven += 1
        return driven

    async def _is_stranded(self, request_id: str, driven_at: datetime) -> bool:
        now = self._clock.now()
        run = await self._log.run(request_id)
        # First, for that is what nearly every look at a large request finds.
        if run and run.lease_left(now):
            return False
        record = await self._log.get(request_id)
        if record is None:
            # By the mark's age: under an idempotency key whose first call died, the next one makes an old request.
            if now - driven_at > _ORPHAN:
                await self._ledger.forget(request_id, driven_at)
            return False
        if record.status.is_final:
            await self._ledger.close(request_id)
            return False
        if run is None:
            return now - accepted_at(request_id) > _QUIET
        return run.next_at is None or run.next_at + _GRACE <= now

    def _may_drive(self, request_id: str, driven_at: datetime) -> bool:
        """A message that was sent a moment ago may still stand in the queue; a second one would only add to it."""
        first_time = driven_at - accepted_at(request_id) < _GRACE
        return first_time or self._clock.now() - driven_at > _DRIVEN_AGAIN
