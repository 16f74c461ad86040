"""Queue triggers: polling, visibility, redelivery and poison queues, as in the official host."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

from local.host.messages import TypedData
from local.host.options import HostOptions, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.storage.queue import QueueMessage

    from local.host.runtime import Function, Runtime

_LOG: Final = logging.getLogger("host.queue")
_POISON: Final = "-poison"
_FIRST_IDLE: Final = 0.1
_POISON_LIFE_SECONDS: Final = 7 * 24 * 3600
_OUTAGE_PAUSE: Final = 1.0


def queue_client(connection: str, queue: str, environment: Mapping[str, str]) -> QueueClient:
    """A client for a binding's connection: setting ``X``, else ``AzureWebJobsX``; a string or the identity form."""
    for name in (connection, f"AzureWebJobs{connection}"):
        if value := environment.get(name):
            return QueueClient.from_connection_string(value, queue)
        account = environment.get(f"{name}__accountName")
        uri = environment.get(f"{name}__queueServiceUri") or environment.get(f"{name}__serviceUri")
        if uri or account:
            address = uri or f"https://{account}.queue.core.windows.net"
            return QueueClient(address, queue_name=queue, credential=_credential(name, environment))
    raise KeyError(f"There is no setting for the connection {connection!r} of queue {queue!r}.")


def _credential(name: str, environment: Mapping[str, str]) -> Any:
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- heavy, rare

    client_id = environment.get(f"{name}__clientId")
    if environment.get(f"{name}__credential", "").lower() == "managedidentity":
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


class QueueListener:
    """Polls one queue for one function."""

    def __init__(
        self, *, function: Function, runtime: Runtime, options: HostOptions, environment: Mapping[str, str]
    ) -> None:
        self.name = filled(function.trigger["queueName"], environment)
        self._function = function
        self._runtime = runtime
        self._options = options
        connection = function.trigger.get("connection") or "AzureWebJobsStorage"
        self._queue = queue_client(connection, self.name, environment)
        is_poison = self.name.endswith(_POISON)
        self._poison = None if is_poison else queue_client(connection, self.name + _POISON, environment)
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Poll until cancelled; a storage outage is waited out."""
        idle = _FIRST_IDLE
        while True:
            try:
                await self._room()
                found = await self._receive()
            except ResourceNotFoundError:
                await self._created(self._queue)
                continue
            except AzureError as problem:
                _LOG.warning("queue %s does not answer: %s", self.name, type(problem).__name__)
                await asyncio.sleep(_OUTAGE_PAUSE)
                continue
            idle = _FIRST_IDLE if found else min(idle * 2, self._options.longest_idle)
            if not found:
                await asyncio.sleep(idle)

    async def finish(self) -> None:
        """Wait for the messages being handled."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def abandon(self) -> None:
        """Cancel what is still running; its messages come back when their lock ends."""
        for task in self._running:
            task.cancel()
        await self.finish()

    async def close(self) -> None:
        """Close the connections."""
        await self._queue.close()
        if self._poison:
            await self._poison.close()

    async def _room(self) -> None:
        """Fetch the next batch only when at most the threshold of messages is being handled."""
        while len(self._running) > self._options.new_batch_threshold:
            self._freed.clear()
            await self._freed.wait()

    async def _receive(self) -> bool:
        received = self._queue.receive_messages(
            messages_per_page=self._options.batch_size,
            max_messages=self._options.batch_size,
            visibility_timeout=int(self._options.visibility),
        )
        found = False
        async for message in received:
            found = True
            task = asyncio.create_task(self._handled(message))
            self._running.add(task)
            task.add_done_callback(self._done)
        return found

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()
        if not task.cancelled() and (problem := task.exception()):
            _LOG.warning("handling a message of %s: %s", self.name, type(problem).__name__)

    async def _handled(self, message: QueueMessage) -> None:
        count = message.dequeue_count or 1
        text = self._text(message.content)
        if text is None or count > self._options.max_dequeue_count:
            await self._poisoned(message)
            return
        renewal = asyncio.create_task(self._renewed(message))
        try:
            outcome = await self._runtime.call(self._function, TypedData(string=text), _metadata(message, text))
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        if outcome.ok:
            await self._deleted(message)
            return
        _LOG.error("Functions.%s failed (try %s): %s", self._function.name, count, outcome.error)
        if count >= self._options.max_dequeue_count:
            await self._poisoned(message)
        elif self._poison:
            await self._changed(message, self._options.failed_visibility)

    async def _renewed(self, message: QueueMessage) -> None:
        while True:
            await asyncio.sleep(self._options.visibility / 2)
            await self._changed(message, self._options.visibility)

    async def _changed(self, message: QueueMessage, visibility: float) -> None:
        try:
            updated = await self._queue.update_message(message, visibility_timeout=int(visibility))
            message.pop_receipt = updated.pop_receipt
        except ResourceNotFoundError:
            _LOG.warning("a message of %s was taken over by another receiver", self.name)

    async def _poisoned(self, message: QueueMessage) -> None:
        if self._poison is None:
            # As on the real host: no poison of poison, the message comes back when its lock ends.
            return
        try:
            await self._poison.send_message(message.content, time_to_live=_POISON_LIFE_SECONDS)
        except ResourceNotFoundError:
            await self._created(self._poison)
            await self._poison.send_message(message.content, time_to_live=_POISON_LIFE_SECONDS)
        await self._deleted(message)

    async def _deleted(self, message: QueueMessage) -> None:
        try:
            await self._queue.delete_message(message.id, message.pop_receipt)
        except ResourceNotFoundError:
            _LOG.warning("a message of %s was taken over by another receiver", self.name)

    def _text(self, content: str) -> str | None:
        if not self._options.base64:
            return content
        try:
            return base64.b64decode(content, validate=True).decode()
        except (binascii.Error, ValueError):
            return None

    @staticmethod
    async def _created(queue: QueueClient) -> None:
        try:
            await queue.create_queue()
        except ResourceExistsError:
            return
        except AzureError:
            await asyncio.sleep(_OUTAGE_PAUSE)


def _metadata(message: QueueMessage, text: str) -> dict[str, TypedData]:
    times = {
        "InsertionTime": message.inserted_on,
        "ExpirationTime": message.expires_on,
        "NextVisibleTime": message.next_visible_on,
    }
    values = {
        "QueueTrigger": text,
        "Id": message.id or "",
        "PopReceipt": message.pop_receipt or "",
        "DequeueCount": str(message.dequeue_count or 1),
    }
    values |= {name: f'"{moment.isoformat()}"' for name, moment in times.items() if moment}
    found = {name: TypedData(string=value) for name, value in values.items()}
    return found | {name: TypedData(json=values[name]) for name in times if name in values}
