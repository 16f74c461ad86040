"""The HTTP routes that submit a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.access import Action
from revoke_core.domain.errors import Fault, InvalidRequest, NotFound
from revoke_core.domain.request_body import parse_own_request, parse_request, read_json
from revoke_core.entrypoints.http.call import HttpCall, Query, preference
from revoke_core.entrypoints.http.payload_query import read_members
from revoke_core.entrypoints.http.response import HttpResponse, problem_responses
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from datetime import timedelta

    from revoke_core.domain.access import Caller
    from revoke_core.domain.request import RequestLimits, RevocationRequest
    from revoke_core.entrypoints.http.context import RouteContext
    from revoke_core.ports.shared import Clock
    from revoke_core.service.engine.sources import Sources
    from revoke_core.service.intake.submit import Submitter


# A larger body is parsed in a thread: other callers' calls must not wait for it.
_PARSED_APART: Final = 256 * 1024


class SubmitRoutes:
    """Each method is one route; ``in_call_limit`` is how long a call works on a small request by default."""

    def __init__(
        self,
        *,
        context: RouteContext,
        submitter: Submitter,
        sources: Sources,
        clock: Clock,
        limits: RequestLimits,
        in_call_limit: timedelta,
    ) -> None:
        self._context = context
        self._submitter = submitter
        self._sources = sources
        self._clock = clock
        self._limits = limits
        self._in_call_limit = in_call_limit

    @problem_responses
    async def submit(self, call: HttpCall) -> HttpResponse:
        """``POST /revocations``: 200 if the request has ended or is held when the call is answered, else 202.

        The call waits for a new small request alone (at most 20 named users, no group, no filter): ``IN_CALL_SECONDS``,
        or ``Prefer: wait=N``, and not with ``respond-async``. A repeated key is answered as its request stands.
        """
        caller = self._context.callers.authenticate_change(call)
        caller.require(Action.SUBMIT)
        Query(call).check()
        if len(call.body) < _PARSED_APART:
            content, request = self._parsed(call.body)
        else:
            content, request = await asyncio.to_thread(self._parsed, call.body)
        return await self._submit(call, caller, request, call.idempotency_key(content))

    @problem_responses
    async def submit_payload(self, call: HttpCall, shape_name: str) -> HttpResponse:
        """``POST /revocations/from/{shape}``: as ``submit``, for what another product sends; 404 for another shape."""
        caller = self._context.callers.authenticate_change(call)
        caller.require(Action.SUBMIT)
        # Fifteen modules that a start of the app need not wait for.
        from revoke_core.domain.payload_request import SHAPES, known_shape, parse_payload  # noqa: PLC0415 -- as above

        shape = known_shape(shape_name)
        if shape is None:
            raise NotFound(f"There is no shape of this name. There are {SHAPES}.")
        members = read_members(call)
        key = call.idempotency_key(members)
        if len(call.body) < _PARSED_APART:
            request = parse_payload(shape, call.body, members, self._limits)
        else:
            request = await asyncio.to_thread(parse_payload, shape, call.body, members, self._limits)
        return await self._submit(call, caller, request, key)

    @problem_responses
    async def submit_own(self, call: HttpCall) -> HttpResponse:
        """``POST /me/revocations``: the caller's own sessions; the body may be left out."""
        caller = self._context.callers.authenticate_change(call)
        user_id = caller.require_user()
        Query(call).check()
        content = read_json(call.body) if call.body.strip() else {}
        request = parse_own_request(content, user_id, self._limits)
        return await self._submit(call, caller, request, call.idempotency_key(content))

    def _parsed(self, body: bytes) -> tuple[Any, RevocationRequest]:
        content = read_json(body)
        return content, parse_request(content, self._limits)

    async def _submit(
        self, call: HttpCall, caller: Caller, request: RevocationRequest, key: str | None
    ) -> HttpResponse:
        await self._context.ready()
        await self._check_filter(request)
        wanted = preference(call, self._in_call_limit)
        submission = Submission(
            request=request,
            source="http",
            requested_by=await self._context.callers.identity(caller, call),
            correlation=call.correlation,
            idempotency_key=key,
        )
        began = self._clock.now()
        submitted = await self._submitter.submit(submission, within=wanted.within)
        # The call waits only for a small request, and not for one that an earlier call with this key created.
        waited = submission.is_small and submitted.record.requested_at >= began
        is_followed = wanted.within is None or waited
        applied = {"Preference-Applied": wanted.applied} if wanted.applied and is_followed else {}
        present = self._context.reader.status_of(submitted.record, users=submitted.users)
        return await self._context.answer_durable(submitted.record, present, applied)

    async def _check_filter(self, request: RevocationRequest) -> None:
        """400 at once for a filter that Graph refuses; the sender of a message finds it in the status log instead."""
        problem = await self._sources.check_filter(request.filter) if request.filter is not None else None
        if problem:
            raise InvalidRequest([Fault("/filter", f"{problem.message} {problem.hint}")])
