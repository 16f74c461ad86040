"""Putting messages again, and taking a message away from the host that holds it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from local.rig import wire

if TYPE_CHECKING:
    from local.rig.proxy import Exchange
    from local.rig.stage import Stage

COPIES: Final = 3


class Doubler:
    """Delivers again: copies of what was put, and the very message that a host is working on.

    Use as an async context; ``work`` is an onlooker of the exchanges.
    """

    def __init__(self, stage: Stage) -> None:
        self._connection = stage.connection
        self._texts: list[str] = []
        self._held: list[tuple[str, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self.copies = 0
        self.redelivered = 0

    async def __aenter__(self) -> Self:
        self._door = await self._stack.enter_async_context(self._queue(wire.DOOR))
        self._work = await self._stack.enter_async_context(self._queue(wire.WORK))
        with suppress(ResourceExistsError):
            await self._door.create_queue()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._tasks)
        await self._stack.aclose()

    def work(self, exchange: Exchange) -> None:
        """Remember what is put into the work queue and what is taken from it."""
        if wire.continues(exchange):
            self._texts.append(wire.message_text(exchange))
        self._held += wire.received(exchange)

    async def knock(self, content: dict[str, Any]) -> None:
        """Put the same door message several times at once, as a sender that repeats itself does."""
        text = json.dumps(content)
        await asyncio.gather(*(self._door.send_message(text) for _ in range(COPIES)))
        self.copies += COPIES - 1

    def again(self) -> None:
        """Put copies of the last work message and make the one in hand visible to everybody."""
        for task in (asyncio.create_task(self._copy()), asyncio.create_task(self._take_away())):
            self._tasks.add(task)

    async def _copy(self) -> None:
        for text in self._texts[-1:]:
            await asyncio.gather(*(self._work.send_message(text) for _ in range(COPIES)))
            self.copies += COPIES

    async def _take_away(self) -> None:
        for identity, receipt in self._held:
            # Those that the host has settled by now are gone.
            with suppress(ResourceNotFoundError):
                await self._work.update_message(identity, receipt, visibility_timeout=0)
                self.redelivered += 1

    def _queue(self, name: str) -> QueueClient:
        return QueueClient.from_connection_string(self._connection, name)
