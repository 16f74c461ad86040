"""Queue triggers: one poller each, with the official host's batches, concurrency and growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError

from local.host.options import HostOptions, filled
from local.host.queue_messages import MessageHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.storage.queue import QueueMessage

    from local.host.connections import Connections
    from local.host.invoker import Invoker
    from local.host.runtime import Function

_LOG: Final = logging.getLogger("host.queue")
_POISON: Final = "-poison"
_FIRST_IDLE: Final = 0.1
_FIRST_OUTAGE_PAUSE: Final = 0.5
_LONGEST_OUTAGE_PAUSE: Final = 5.0


class QueueListener:
    """Polls one queue for one function until it is stopped. ``has_polled`` is set once the queue is there."""

    def __init__(
        self,
        *,
        function: Function,
        invoker: Invoker,
        options: HostOptions,
        connections: Connections,
        environment: Mapping[str, str],
    ) -> None:
        self.name = filled(function.trigger["queueName"], environment)
        connection = function.trigger.get("connection")
        self._options = options
        self._queue = connections.queue(connection, self.name)
        poison = None if self.name.endswith(_POISON) else connections.queue(connection, self.name + _POISON)
        self._handler = MessageHandler(
            function=function, invoker=invoker, options=options, queue=self._queue, poison=poison
        )
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()
        self.has_polled = asyncio.Event()

    async def run(self) -> None:
        """Poll until stopped; a storage outage is waited out."""
        idle, outage = _FIRST_IDLE, _FIRST_OUTAGE_PAUSE
        while not self._stopping.is_set():
            try:
                await self._room()
                found = await self._receive()
            except ResourceNotFoundError:
                await self._create()
            except Exception as problem:  # noqa: BLE001 -- a poller that ends leaves its queue unread
                _LOG.warning("queue '%s' does not answer (%s)", self.name, type(problem).__name__)
                await self._pause(outage)
                outage = min(outage * 2, _LONGEST_OUTAGE_PAUSE)
            else:
                outage = _FIRST_OUTAGE_PAUSE
                self.has_polled.set()
                if found:
                    idle = _FIRST_IDLE
                else:
                    await self._pause(idle)
                    idle = min(idle * 2, self._options.longest_idle)

    def stop(self) -> None:
        """Fetch nothing more; a fetch under way ends by itself, or its messages would stay locked without a reader."""
        self._stopping.set()
        self._freed.set()

    async def finish(self) -> None:
        """Wait for the messages being handled."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _room(self) -> None:
        """Fetch the next batch only when at most the threshold of messages is being handled."""
        while len(self._running) > self._options.new_batch_threshold and not self._stopping.is_set():
            self._freed.clear()
            await self._freed.wait()

    async def _receive(self) -> bool:
        if self._stopping.is_set():
            return False
        # One page is one call; iterating over messages would send another call when the page is not full.
        # It is not repeated by the SDK either: the loop does that, and can be stopped between two tries.
        pages = self._queue.receive_messages(
            messages_per_page=self._options.batch_size,
            visibility_timeout=int(self._options.visibility),
            retry_total=0,
        ).by_page()
        page = await anext(pages, None)
        messages: list[QueueMessage] = [message async for message in page] if page else []
        for message in messages:
            task = asyncio.create_task(self._handler.handle(message))
            self._running.add(task)
            task.add_done_callback(self._done)
        return bool(messages)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()
        if not task.cancelled() and (problem := task.exception()):
            _LOG.warning("a message of '%s' could not be settled and comes back: %r", self.name, problem)

    async def _create(self) -> None:
        try:
            await self._queue.create_queue(retry_total=0)
        except ResourceExistsError:
            await self._pause(_FIRST_OUTAGE_PAUSE)  # another host was first, or the queue is being deleted
        except AzureError:
            await self._pause(_FIRST_OUTAGE_PAUSE)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
