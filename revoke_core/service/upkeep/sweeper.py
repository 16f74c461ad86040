"""The 30-second timer: redrives open requests that no worker is expected to have any more. The one recovery path.

The marker of a request in work stands at the end of its lease and a second, from its acceptance on. So a host that dies
costs a lease (45 s), that second, and at most one interval of the timer: 76 s. Callbacks that are due go the same way.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.ports.shared import Clock, OpenRequest, OpenRequests, WorkQueue

# Below the timer's interval, so that runs do not pile up; the next run goes on with the oldest that are left.
_AT_MOST: Final = timedelta(seconds=25)
# While messages of one batch are on their way, the next markers are read and moved: a busy host answers each slowly.
_BATCHES_AT_ONCE: Final = 3


class Sweeper:
    """Sends a work message for every open request whose redrive time has come, oldest request first.

    - A worker moves that time on whenever it acquires or releases a lease, or finds a message too early.
    - ``finish_request`` removes the marker with the final status, so an ended request is never redriven.
    - The marker is moved before the message is sent: should this host die in between, the request is due again soon.
    - The message's worker reads the request's state; the sweeper reads nothing but markers.
    """

    def __init__(self, *, open_requests: OpenRequests, queue: WorkQueue, clock: Clock, paused: bool) -> None:
        self._open_requests = open_requests
        self._queue = queue
        self._clock = clock
        self._paused = paused

    async def sweep(self) -> int:
        """Returns how many requests were redriven."""
        began = self._clock.now()
        redriven = 0
        free = asyncio.Semaphore(_BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            async for batch in self._open_requests.due(began, paused=self._paused):
                await free.acquire()
                if self._clock.now() - began > _AT_MOST:
                    break
                group.create_task(self._redrive(batch)).add_done_callback(lambda _: free.release())
                redriven += len(batch)
        if redriven:
            seconds = (self._clock.now() - began).total_seconds()
            logs.event("timer_swept", redriven=redriven, seconds=round(seconds, 1))
        return redriven

    async def _redrive(self, batch: Sequence[OpenRequest]) -> None:
        await self._open_requests.note_redriven(batch, self._clock.now())
        await asyncio.gather(*map(self._enqueue, batch))

    async def _enqueue(self, request: OpenRequest) -> None:
        put = self._queue.put_callback if request.is_callback else self._queue.put
        await put(request.request_id)
