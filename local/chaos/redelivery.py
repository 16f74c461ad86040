"""Delivers messages again: copies of what was sent, and the very message that a host is working on."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from local.testbed import exchanges

if TYPE_CHECKING:
    from local.testbed.environment import Environment
    from local.testbed.proxy import Exchange

COPIES: Final = 3


class Redelivery:
    """Sends copies of messages and makes received messages visible again.

    Use as an async context; ``record`` is an ``on_response`` callback.
    """

    def __init__(self, environment: Environment) -> None:
        self._connection = environment.connection
        self._texts: list[str] = []
        self._received: list[tuple[str, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self.copies = 0
        self.redelivered = 0

    async def __aenter__(self) -> Self:
        self._requests = await self._stack.enter_async_context(self._queue(exchanges.REQUEST_QUEUE))
        self._work = await self._stack.enter_async_context(self._queue(exchanges.WORK_QUEUE))
        with suppress(ResourceExistsError):
            await self._requests.create_queue()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._tasks)
        await self._stack.aclose()

    def record(self, exchange: Exchange) -> None:
        """Remember the work messages that are sent and those that are received."""
        if exchanges.is_work_message(exchange):
            self._texts.append(exchanges.message_text(exchange))
        self._received += exchanges.received_messages(exchange)

    async def send(self, content: dict[str, Any]) -> None:
        """Send the same request message several times at once, as a sender that repeats itself does."""
        text = json.dumps(content)
        await asyncio.gather(*(self._requests.send_message(text) for _ in range(COPIES)))
        self.copies += COPIES - 1

    def redeliver(self) -> None:
        """Send copies of the last work message and make the one being processed visible again."""
        for task in (asyncio.create_task(self._copy()), asyncio.create_task(self._make_visible())):
            self._tasks.add(task)

    async def _copy(self) -> None:
        for text in self._texts[-1:]:
            await asyncio.gather(*(self._work.send_message(text) for _ in range(COPIES)))
            self.copies += COPIES

    async def _make_visible(self) -> None:
        for identity, receipt in self._received:
            # The host has deleted those that it has processed by now.
            with suppress(ResourceNotFoundError):
                await self._work.update_message(identity, receipt, visibility_timeout=0)
                self.redelivered += 1

    def _queue(self, name: str) -> QueueClient:
        return QueueClient.from_connection_string(self._connection, name)
