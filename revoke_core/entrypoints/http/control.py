"""The HTTP routes that act on an accepted request: confirm, cancel, retry."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from revoke_core.domain.access import Action
from revoke_core.domain.fields import CANCEL_OPEN, CONFIRM
from revoke_core.domain.request_body import parse_cancellation, parse_confirmation, parse_retry, read_json
from revoke_core.entrypoints.http.call import Query
from revoke_core.entrypoints.http.response import HttpResponse, json_response, problem_responses

if TYPE_CHECKING:
    from revoke_core.entrypoints.http.call import HttpCall
    from revoke_core.entrypoints.http.context import RouteContext
    from revoke_core.service.intake.control import Controls


class ControlRoutes:
    """Each method is one route; a request that the caller may not see is answered as one that does not exist."""

    def __init__(self, *, context: RouteContext, controls: Controls) -> None:
        self._context = context
        self._controls = controls

    @problem_responses
    async def confirm(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``POST /revocations/{id}/confirm`` with ``{"users": 340}``: 202; 409 when that is not the number."""
        caller = self._context.callers.authenticate_change(call)
        Query(call).check()
        users = parse_confirmation(read_json(call.body, example=CONFIRM.shown))
        record = await self._context.find(request_id, caller, Action.CONFIRM)
        confirmed = await self._controls.confirm(record, users)
        return await self._context.answer_durable(confirmed, self._context.reader.status(record.id))

    @problem_responses
    async def cancel(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``POST /revocations/{id}/cancel``: 202; a finished request stays as it is and is answered 200."""
        caller = self._context.callers.authenticate_change(call)
        Query(call).check()
        record = await self._context.find(request_id, caller, Action.CANCEL)
        cancelled = await self._controls.cancel(record)
        return await self._context.answer_durable(cancelled, self._context.reader.status(record.id))

    @problem_responses
    async def cancel_open(self, call: HttpCall) -> HttpResponse:
        """``POST /revocations/cancel`` with ``requestedBy`` and ``since``: 202 with the number of requests to end."""
        caller = self._context.callers.authenticate_change(call)
        Query(call).check()
        caller.require(Action.CANCEL)
        of, since = parse_cancellation(read_json(call.body, example=CANCEL_OPEN.shown))
        await self._context.ready()
        cancelled = await self._controls.cancel_open(of, since)
        return json_response(HTTPStatus.ACCEPTED, {"requests": cancelled})

    @problem_responses
    async def retry(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``POST /revocations/{id}/retry``: a new request for the users who failed; 409 while it runs."""
        caller = self._context.callers.authenticate_change(call)
        Query(call).check()
        content = read_json(call.body) if call.body.strip() else {}
        parse_retry(content)
        key = call.idempotency_key(content)
        record = await self._context.find(request_id, caller, Action.RETRY)
        identity = await self._context.callers.identity(caller, call)
        retried = await self._controls.retry(record, requested_by=identity, correlation=call.correlation, key=key)
        return await self._context.answer_durable(retried, self._context.reader.status_of(retried))
