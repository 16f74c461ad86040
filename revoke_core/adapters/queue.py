"""What the app puts into queues: references to requests (``revocation-work``), and request messages that wait."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.adapters.storage import DOOR_QUEUE, WORK_QUEUE, raise_unavailable

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage

_NEVER_EXPIRES: Final = -1


class StorageWorkQueue:
    """The ``WorkQueue`` port over Azure Queue Storage; bodies are plain JSON (``messageEncoding`` none)."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """Send a reference that becomes visible after the delay, in whole seconds and never early."""
        await self._send(WORK_QUEUE, json.dumps({"requestId": request_id}), delay)

    async def put_callback(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """Send a reference to a callback, as ``put`` does."""
        await self._send(WORK_QUEUE, json.dumps({"callback": request_id}), delay)

    async def give_back(self, text: str, *, delay: timedelta) -> None:
        """Send a request message again, hidden for the delay."""
        await self._send(DOOR_QUEUE, text, delay)

    async def depth(self) -> int:
        """The approximate count of messages that wait to be accepted, as the storage service keeps it."""
        with raise_unavailable():
            properties = await self._storage.queue(DOOR_QUEUE).get_queue_properties()
        return int(properties.approximate_message_count or 0)

    async def _send(self, queue: str, content: str, delay: timedelta) -> None:
        seconds = max(0, -int(-delay.total_seconds() // 1))
        with raise_unavailable():
            await self._storage.queue(queue).send_message(
                content, visibility_timeout=seconds, time_to_live=_NEVER_EXPIRES
            )
