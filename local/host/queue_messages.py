"""One queue message from its receipt to its end: lock renewal, success, another try, or the poison queue."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from azure.core.exceptions import AzureError, ResourceNotFoundError

from local.host.messages import TypedData
from local.host.outputs import send

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage
    from azure.storage.queue.aio import QueueClient

    from local.host.invoker import Invoker
    from local.host.options import HostOptions
    from local.host.runtime import Function

_LOG: Final = logging.getLogger("host.queue")
_POISON_LIFE_SECONDS: Final = 7 * 24 * 3600
_LEAST_PAUSE: Final = 0.5


class MessageHandler:
    """Handles the messages of one queue.

    Args:
        function: the function with the queue trigger.
        invoker: calls it.
        options: visibility, tries and encoding.
        queue: where the messages come from.
        poison: where given-up messages go; ``None`` for a queue that is a poison queue itself.
    """

    def __init__(
        self,
        *,
        function: Function,
        invoker: Invoker,
        options: HostOptions,
        queue: QueueClient,
        poison: QueueClient | None,
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._options = options
        self._queue = queue
        self._poison = poison

    async def handle(self, message: QueueMessage) -> None:
        """Invoke the function for a message and settle the message by the outcome."""
        tries = message.dequeue_count or 1
        text = self._text(message.content)
        lock = Lock(queue=self._queue, message=message, seconds=self._options.visibility)
        if text is None:
            _LOG.warning("a message of %s is not base64, which messageEncoding requires", self._queue.queue_name)
            await self._give_up(message, lock)
            return
        if tries > self._options.max_dequeue_count:
            await self._give_up(message, lock)
            return
        async with lock:
            outcome = await self._invoker.invoke(
                self._function,
                TypedData(string=text),
                reason=f"New message {message.id} on '{self._queue.queue_name}', try {tries}",
                metadata=_metadata(message, text),
            )
        if outcome.ok:
            await lock.delete()
        elif self._poison is None:
            # As on the real host: no poison of poison; the message comes back when its lock ends.
            return
        elif tries >= self._options.max_dequeue_count:
            await self._give_up(message, lock)
        else:
            await lock.renew(self._options.failed_visibility)

    async def _give_up(self, message: QueueMessage, lock: Lock) -> None:
        if self._poison is None:
            return
        name = self._poison.queue_name
        _LOG.warning("message %s is given up and moves to queue '%s'", message.id, name)
        await send(self._poison, message.content, time_to_live=_POISON_LIFE_SECONDS)
        await lock.delete()

    def _text(self, content: str) -> str | None:
        if not self._options.base64:
            return content
        try:
            return base64.b64decode(content, validate=True).decode()
        except (binascii.Error, ValueError):
            return None


class Lock:
    """A received message's lock; inside the context it is renewed at half time: no other reader receives it."""

    def __init__(self, *, queue: QueueClient, message: QueueMessage, seconds: float) -> None:
        self._queue = queue
        self._id = message.id or ""
        self._receipt = message.pop_receipt or ""
        self._seconds = seconds
        self._ended = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._renewal = asyncio.create_task(self._renewed())

    async def __aexit__(self, *_: object) -> None:
        # Never cancelled in the middle of an update: its answer holds the receipt that deleting needs.
        self._ended.set()
        if self._renewal:
            await self._renewal

    async def renew(self, seconds: float) -> bool:
        """Hide the message for so long from now on; ``False`` when it is no longer this receiver's."""
        try:
            updated = await self._queue.update_message(self._id, self._receipt, visibility_timeout=int(seconds))
        except ResourceNotFoundError:
            return self._lost()
        self._receipt = updated.pop_receipt or ""
        return True

    async def delete(self) -> None:
        """Take the message out of its queue."""
        try:
            await self._queue.delete_message(self._id, self._receipt)
        except ResourceNotFoundError:
            self._lost()

    def _lost(self) -> bool:
        _LOG.warning("message %s of '%s' was taken over by another receiver", self._id, self._queue.queue_name)
        return False

    async def _renewed(self) -> None:
        pause = self._seconds / 2
        while not await self._ended_within(pause):
            try:
                if not await self.renew(self._seconds):
                    return
                pause = self._seconds / 2
            except AzureError as problem:
                _LOG.warning("message %s could not be renewed: %s", self._id, type(problem).__name__)
                pause = max(_LEAST_PAUSE, pause / 4)

    async def _ended_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()


def _metadata(message: QueueMessage, text: str) -> dict[str, TypedData]:
    values = {
        "QueueTrigger": text,
        "Id": message.id or "",
        "PopReceipt": message.pop_receipt or "",
        "DequeueCount": str(message.dequeue_count or 1),
    }
    moments = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    found = {name: TypedData(string=value) for name, value in values.items()}
    return found | {name: TypedData(json=f'"{when.isoformat()}"') for name, when in moments.items() if when}
