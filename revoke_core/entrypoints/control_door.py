"""The HTTP routes that say something about a request that was accepted: confirm, cancel, retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.access import Action
from revoke_core.domain.request_body import parse_confirmation, read_json
from revoke_core.entrypoints.http_words import HttpAnswer, HttpCall, answering, correlation, idempotency_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.entrypoints.callers import Callers
    from revoke_core.entrypoints.status_answers import StatusAnswers
    from revoke_core.service.control import Controls
    from revoke_core.service.reading import Reader


class ControlDoor:
    """Each method is one route; a request that the caller may not touch is answered as one that does not exist."""

    def __init__(
        self,
        *,
        controls: Controls,
        reader: Reader,
        answers: StatusAnswers,
        callers: Callers,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._controls = controls
        self._reader = reader
        self._answers = answers
        self._callers = callers
        self._ready = ready

    @answering
    async def confirm(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``POST /revocations/{id}/confirm`` with ``{"users": 340}``: 202; 409 when that is not the number."""
        caller = self._callers.admitted_to_change(call)
        users = parse_confirmation(read_json(call.body))
        await self._ready()
        record = caller.demand_on(Action.CONFIRM, await self._reader.find(request_id.lower()))
        await self._controls.confirm(record, users)
        return await self._answers.of(await self._reader.status(record.id))

    @answering
    async def cancel(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``POST /revocations/{id}/cancel``: 202; a finished request stays as it is and is answered 200."""
        caller = self._callers.admitted_to_change(call)
        await self._ready()
        record = caller.demand_on(Action.CANCEL, await self._reader.find(request_id.lower()))
        await self._controls.cancel(record)
        return await self._answers.of(await self._reader.status(record.id))

    @answering
    async def retry(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``POST /revocations/{id}/retry``: 202 with a new request for the users who failed; 409 while it runs."""
        caller = self._callers.admitted_to_change(call)
        key = idempotency_key(call)
        await self._ready()
        record = caller.demand_on(Action.RETRY, await self._reader.find(request_id.lower()))
        identity = await self._callers.identity(caller, call)
        again = await self._controls.retry(record, requested_by=identity, correlation=correlation(call), key=key)
        return await self._answers.of(await self._reader.status_of(again))
