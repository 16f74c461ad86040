"""The HTTP door: each method is one route of the API, from a call to an answer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from revoke_core.domain import signing
from revoke_core.domain.access import Action
from revoke_core.domain.errors import AccessDenied, Fault, InvalidRequest, Unavailable
from revoke_core.domain.identifiers import USER_FORM, is_request_id, parse_user
from revoke_core.domain.request_body import parse_own_request, parse_request, read_json
from revoke_core.domain.results import RequestStatus, UserStatus
from revoke_core.entrypoints import rendering
from revoke_core.entrypoints.http_words import (
    HttpAnswer,
    HttpCall,
    Query,
    answering,
    correlation,
    idempotency_key,
    json_answer,
    preference,
)
from revoke_core.service.submitting import Submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from revoke_core.domain.access import Caller
    from revoke_core.domain.request import Limits, RevocationRequest
    from revoke_core.entrypoints.callers import Callers
    from revoke_core.entrypoints.links import Links
    from revoke_core.entrypoints.status_answers import StatusAnswers
    from revoke_core.log_ports import Page
    from revoke_core.ports import Clock, Ledger
    from revoke_core.service.readiness import ReadinessCheck
    from revoke_core.service.reading import Reader, Status
    from revoke_core.service.sources import Sources
    from revoke_core.service.submitting import Submitter


class HttpDoor:
    """All routes but the anonymous ``/health``, which asks nobody."""

    def __init__(
        self,
        *,
        submitter: Submitter,
        answers: StatusAnswers,
        reader: Reader,
        sources: Sources,
        readiness: ReadinessCheck,
        links: Links,
        ledger: Ledger,
        callers: Callers,
        clock: Clock,
        limits: Limits,
        in_call_limit: timedelta,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._ready = ready
        self._submitter = submitter
        self._answers = answers
        self._reader = reader
        self._sources = sources
        self._readiness = readiness
        self._links = links
        self._ledger = ledger
        self._callers = callers
        self._clock = clock
        self._limits = limits
        self._in_call_limit = in_call_limit

    @answering
    async def submit(self, call: HttpCall) -> HttpAnswer:
        """``POST /revocations``: 200 with the last word, or 202 while it runs."""
        caller = self._callers.admitted_to_change(call)
        caller.demand(Action.SUBMIT)
        return await self._submitted(call, caller, parse_request(read_json(call.body), self._limits))

    @answering
    async def submit_own(self, call: HttpCall) -> HttpAnswer:
        """``POST /me/revocations``: the caller's own sessions; the body may be left out."""
        caller = self._callers.admitted_to_change(call)
        user_id = caller.demand_user()
        content = read_json(call.body) if call.body.strip() else {}
        return await self._submitted(call, caller, parse_own_request(content, user_id, self._limits))

    async def _submitted(self, call: HttpCall, caller: Caller, request: RevocationRequest) -> HttpAnswer:
        key = idempotency_key(call)
        await self._ready()
        await self._check_filter(request)
        wanted = preference(call, self._in_call_limit)
        submission = Submission(
            request=request,
            source="http",
            requested_by=await self._callers.identity(caller, call),
            correlation=correlation(call),
            idempotency_key=key,
        )
        began = self._clock.now()
        record = await self._submitter.submit(submission, within=wanted.within)
        # Nobody waited for what the queue side carries out, nor for a request that was there before.
        waited = submission.is_small and record.requested_at >= began
        is_followed = wanted.within is None or waited
        applied = {"Preference-Applied": wanted.applied} if wanted.applied and is_followed else {}
        return await self._answers.of(await self._reader.status_of(record), applied)

    async def _check_filter(self, request: RevocationRequest) -> None:
        """A caller learns at once that Graph refuses the filter; a sender of a message finds it in the status log."""
        problem = await self._sources.check_filter(request.filter) if request.filter is not None else None
        if problem:
            raise InvalidRequest([Fault("/filter", f"{problem.message} {problem.hint}")])

    @answering
    async def request(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``GET /revocations/{id}``: 202 while it runs, then 200."""
        caller = self._callers.admitted(call)
        await self._ready()
        record = caller.demand_on(Action.READ, await self._reader.find(request_id.lower()))
        return await self._answers.of(await self._reader.status_of(record))

    @answering
    async def operation(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``GET /operations/{id}?sig=…``: the same through a signed link, without a key."""
        await self._ready()
        text = call.query.get("sig") or ""
        key = await self._ledger.signing_key()
        if not is_request_id(request_id) or not signing.is_valid(key, request_id, text, self._clock.now()):
            raise AccessDenied("The link's signature is missing, wrong or older than 48 hours.")
        return await self._answers.of(await self._reader.status(request_id))

    @answering
    async def users(self, call: HttpCall, request_id: str) -> HttpAnswer:
        """``GET /revocations/{id}/users``: one page, JSON or CSV."""
        caller = self._callers.admitted(call)
        query = Query(call)
        status = query.choice("status", [status.value for status in UserStatus])
        form = query.choice("format", ["csv", "json"])
        size, token = query.page_size(), query.text("continuationToken")
        query.check()
        await self._ready()
        record = caller.demand_on(Action.READ, await self._reader.find(request_id.lower()))
        page = await self._reader.users(
            record.id, status=UserStatus(status) if status else None, size=size, token=token
        )
        link = self._next_link(f"revocations/{record.id}/users", call, page)
        if form == "csv" or (form is None and "text/csv" in call.headers.get("accept", "")):
            headers = {"Cache-Control": "no-store"} | ({"Link": f'<{link}>; rel="next"'} if link else {})
            body = rendering.users_csv(page.items).encode()
            return HttpAnswer(status=200, body=body, content_type="text/csv", headers=headers)
        content = {"value": [rendering.user(row) for row in page.items]} | ({"nextLink": link} if link else {})
        return json_answer(200, content)

    @answering
    async def requests(self, call: HttpCall) -> HttpAnswer:
        """``GET /revocations``: all requests or one user's, newest first; a submitter's list holds its own."""
        caller = self._callers.admitted(call)
        caller.demand(Action.LIST)
        by = caller.confined_to
        query = Query(call)
        status = query.choice("status", [status.value for status in RequestStatus])
        since, size, token = query.moment("since"), query.page_size(), query.text("continuationToken")
        named = query.text("user")
        user = parse_user(named) if named else None
        if named and user is None:
            query.fault("user", USER_FORM)
        query.check()
        await self._ready()
        page: Page[Status]
        if user:
            page = await self._reader.history(user, status=status, since=since, size=size, token=token, requested_by=by)
        else:
            page = await self._reader.requests(status=status, since=since, size=size, token=token, requested_by=by)
        entries = [rendering.resource(item, self._links, users=user is not None) for item in page.items]
        link = self._next_link("revocations", call, page)
        return json_answer(200, {"value": entries} | ({"nextLink": link} if link else {}))

    @answering
    async def readiness(self, call: HttpCall) -> HttpAnswer:
        """``GET /readiness``: 200 when the app could revoke now, else 503 with what is missing."""
        self._callers.admitted(call).demand(Action.READINESS)
        with suppress(Unavailable):
            await self._ready()
        found = await self._readiness.look()
        depth = found.queue_depth
        content: dict[str, Any] = {
            "token": found.token,
            "permissions": list(found.permissions),
            "missing": list(found.missing),
            "grantCommand": found.grant_command,
            "table": found.table,
            "queue": {"reachable": depth is not None, "depth": depth},
        }
        return json_answer(200 if found.is_ready else 503, content)

    def _next_link(self, path: str, call: HttpCall, page: Page[Any]) -> str | None:
        return self._links.next_page(path, call.query, page.token) if page.token else None
