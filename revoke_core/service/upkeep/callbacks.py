"""Delivering callbacks: the state of a request is posted to its ``callbackUrl`` until the receiver has taken it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.callback import (
    CallbackState,
    CallbackStatus,
    callback_mistake,
    next_try,
    signed_headers,
    webhook_id,
)
from revoke_core.domain.schedules import CLOCK_SKEW, LEASE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.domain.callback import CallbackRules
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.ports.callbacks import CallbackReceivers
    from revoke_core.ports.shared import Clock, WorkQueue
    from revoke_core.ports.status_log import CallbackMarker, CallbackMarkers, RequestRows

# Far below the messages that an instance works on at once: however slow receivers are, requests find a place.
_MOST_AT_ONCE: Final = 16
_TAKEN: Final = range(200, 300)
_WAIT_SECONDS: Final = 2.0
_BUSY_PAUSE: Final = timedelta(seconds=5)
# The timer comes every 30 s; a message that waits for longer gains nothing and counts where the platform scales.
_LONGEST_MESSAGE: Final = timedelta(seconds=40)


class Callbacks:
    """Delivers the callback of a request that was held or has ended, at least once.

    - The callback marker is written in the transaction that writes the event, so no crash loses it.
    - It is claimed before a try, as a lease is: messages that come twice, or late, post once.
    - What is posted is the request as it stands at the moment of the try; ``document`` makes it.
    - The host is compared with the operator's list again at each try.
    """

    def __init__(
        self,
        *,
        log: RequestRows,
        markers: CallbackMarkers,
        receivers: CallbackReceivers,
        document: Callable[[RequestRecord], Awaitable[bytes]],
        queue: WorkQueue,
        clock: Clock,
        rules: CallbackRules,
    ) -> None:
        self._log = log
        self._markers = markers
        self._receivers = receivers
        self._document = document
        self._queue = queue
        self._clock = clock
        self._rules = rules
        self._free = asyncio.Semaphore(_MOST_AT_ONCE)

    async def deliver(self, request_id: str) -> None:
        """Try once, if a try is due; whatever fails here is left to the timer."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            await self._queue.put_callback(request_id, delay=_BUSY_PAUSE)
            return
        try:
            await self._try_due(request_id)
        except Exception as problem:  # noqa: BLE001 -- the marker is still there, so the timer comes back to it
            logs.failure("callback_left_to_timer", problem, requestId=request_id)
        finally:
            self._free.release()

    async def _try_due(self, request_id: str) -> None:
        marker = await self._markers.get(request_id)
        now = self._clock.now()
        if marker is None or marker.try_at - now > CLOCK_SKEW:
            return
        claimed = await self._markers.claim(marker, now + LEASE)
        if claimed is None:
            return
        record, request = await asyncio.gather(self._log.get_request(request_id), self._log.get_inputs(request_id))
        if record is None:
            await self._markers.close(claimed, CallbackState())
            return
        url = request.callback_url if request else None
        if url is None or callback_mistake(url, self._rules.hosts):
            await self._give_up(
                claimed,
                replace(record.callback or CallbackState(), last_error="hostNotAllowed" if url else "inputsLost"),
            )
            return
        await self._note(claimed, await self._post(claimed, record, url))

    async def _post(self, marker: CallbackMarker, record: RequestRecord, url: str) -> int | None:
        body = await self._document(record)
        event_id = webhook_id(marker.request_id, marker.event)
        headers = signed_headers(self._rules.secret, event_id, self._clock.now(), body)
        return await self._receivers.post(url, body, headers)

    async def _note(self, marker: CallbackMarker, status: int | None) -> None:
        """Delivered, given up, or to be tried again."""
        state = CallbackState(
            attempts=marker.attempts + 1, last_status=status, last_error=None if status else "noAnswer"
        )
        if status in _TAKEN:
            await self._markers.close(marker, replace(state, status=CallbackStatus.DELIVERED))
            logs.event(
                "callback_delivered", requestId=marker.request_id, callback=marker.event, attempts=state.attempts
            )
            return
        now = self._clock.now()
        try_at = next_try(marker.since, state.attempts, now)
        if try_at is None:
            await self._give_up(marker, state)
            return
        await self._markers.postpone(marker, state, try_at)
        if try_at - now <= _LONGEST_MESSAGE:
            await self._queue.put_callback(marker.request_id, delay=try_at - now)

    async def _give_up(self, marker: CallbackMarker, state: CallbackState) -> None:
        await self._markers.close(marker, replace(state, status=CallbackStatus.FAILED))
        logs.event(
            "callback_given_up",
            level=logging.WARNING,
            requestId=marker.request_id,
            callback=marker.event,
            attempts=state.attempts,
            status=state.last_status,
            reason=state.last_error,
        )
