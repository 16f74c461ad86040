"""The inner queue ``revocation-work``: each message is a reference to one request."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.adapters.storage import DOOR_QUEUE, WORK_QUEUE, Storage, answering

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage

_NEVER_EXPIRES: Final = -1


class StorageWorkQueue:
    """The ``WorkQueue`` port over Azure Queue Storage; bodies are plain JSON (``messageEncoding`` none)."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> str:
        """Send a reference; the receipt is good until a worker receives it."""
        seconds = max(0, -int(-delay.total_seconds() // 1))
        with answering():
            message: QueueMessage = await self._storage.queue(WORK_QUEUE).send_message(
                json.dumps({"requestId": request_id}), visibility_timeout=seconds, time_to_live=_NEVER_EXPIRES
            )
        return f"{message.id}|{message.pop_receipt}"

    async def withdraw(self, receipt: str) -> None:
        """Delete a message that has not been received."""
        from azure.core.exceptions import HttpResponseError  # noqa: PLC0415 -- kept out of the app's import

        identity, _, pop_receipt = receipt.partition("|")
        with answering():
            try:
                await self._storage.queue(WORK_QUEUE).delete_message(identity, pop_receipt)
            except HttpResponseError as problem:
                if problem.status_code not in (400, 404):
                    raise

    async def depth(self) -> int:
        """The approximate count that the storage service keeps of the doors' queue."""
        with answering():
            properties = await self._storage.queue(DOOR_QUEUE).get_queue_properties()
        return int(properties.approximate_message_count or 0)
