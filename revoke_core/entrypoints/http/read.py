"""The HTTP routes that read: one request, its users, lists of requests, readiness."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from revoke_core.domain.access import Action
from revoke_core.domain.errors import LinkRefused
from revoke_core.domain.identifiers import is_request_id
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.timestamps import written
from revoke_core.domain.user_state import UserStatus
from revoke_core.entrypoints.http import render
from revoke_core.entrypoints.http.call import HttpCall, Query
from revoke_core.entrypoints.http.description import description
from revoke_core.entrypoints.http.response import HttpResponse, json_response, problem_responses

if TYPE_CHECKING:
    from revoke_core.entrypoints.http.context import RouteContext
    from revoke_core.entrypoints.http.links import Links
    from revoke_core.ports.status_log import Page
    from revoke_core.service.engine.protection import Protection
    from revoke_core.service.reading.readiness import ReadinessCheck
    from revoke_core.service.reading.status import Status


class ReadRoutes:
    """Each method is one route."""

    def __init__(self, *, context: RouteContext, links: Links, readiness: ReadinessCheck) -> None:
        self._context = context
        self._links = links
        self._readiness = readiness

    @problem_responses
    async def request(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``GET /revocations/{id}``: 202 while it runs, then 200."""
        caller = self._context.callers.authenticate(call)
        Query(call).check()
        record = await self._context.find(request_id, caller, Action.READ)
        return await self._context.responses.of(await self._context.reader.status_of(record))

    @problem_responses
    async def operation(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``GET /operations/{id}?sig=…``: the same through a signed link, without a key."""
        query = Query(call)
        signature = query.text("sig") or ""
        query.check()
        await self._context.ready()
        if not is_request_id(request_id) or not await self._links.is_signed(request_id, signature):
            raise LinkRefused("The link's signature is missing, wrong or older than 48 hours.")
        return await self._context.responses.of(await self._context.reader.status(request_id))

    @problem_responses
    async def users(self, call: HttpCall, request_id: str) -> HttpResponse:
        """``GET /revocations/{id}/users``: one page, JSON or CSV."""
        caller = self._context.callers.authenticate(call)
        query = Query(call)
        status = query.choice("status", UserStatus)
        form = query.choice("format", ("csv", "json"))
        size, token = query.page_size(), query.text("continuationToken")
        query.check()
        record = await self._context.find(request_id, caller, Action.READ)
        page = await self._context.reader.users(
            record.id, status=UserStatus(status) if status else None, size=size, token=token
        )
        link = self._next_link(f"revocations/{record.id}/users", call, page)
        if form == "csv" or (form is None and "text/csv" in call.headers.get("accept", "")):
            headers = {"Cache-Control": "no-store"} | ({"Link": f'<{link}>; rel="next"'} if link else {})
            body = render.users_csv(page.items).encode("utf-8", "replace")
            return HttpResponse(status=HTTPStatus.OK, body=body, content_type="text/csv", headers=headers)
        return _list_response([render.user(row) for row in page.items], link)

    @problem_responses
    async def requests(self, call: HttpCall) -> HttpResponse:
        """``GET /revocations``: all requests or one user's, newest first; a submitter's list holds its own."""
        caller = self._context.callers.authenticate(call)
        caller.require(Action.LIST)
        by = caller.confined_to
        query = Query(call)
        status = query.choice("status", RequestStatus)
        since, size, token = query.timestamp("since"), query.page_size(), query.text("continuationToken")
        user = query.user("user")
        query.check()
        await self._context.ready()
        reader = self._context.reader
        page: Page[Status]
        if user:
            page = await reader.history(user, status=status, since=since, size=size, token=token, requested_by=by)
        else:
            page = await reader.requests(status=status, since=since, size=size, token=token, requested_by=by)
        entries = [render.resource(item, self._links, users=user is not None) for item in page.items]
        return _list_response(entries, self._next_link("revocations", call, page))

    @problem_responses
    async def readiness(self, call: HttpCall) -> HttpResponse:
        """``GET /readiness``: 200 when the app could revoke now, else 503 with what is missing."""
        self._context.callers.authenticate(call).require(Action.READINESS)
        Query(call).check()
        found = await self._readiness.check()
        content = {
            "token": found.token,
            "permissions": list(found.permissions),
            "missing": list(found.missing),
            "grantCommand": found.grant_command,
            "table": found.table,
            "graph": {"status": found.graph.status, "code": found.graph.code},
            "protection": _protection(found.protection),
            "queue": {"reachable": found.queue_depth is not None, "depth": found.queue_depth},
        }
        return json_response(HTTPStatus.OK if found.is_ready else HTTPStatus.SERVICE_UNAVAILABLE, content)

    @problem_responses
    async def health(self, call: HttpCall) -> HttpResponse:
        """``GET`` and ``HEAD /health``: the process answers."""
        Query(call).check()
        return json_response(HTTPStatus.OK, {"status": "ok"})

    @problem_responses
    async def description(self, call: HttpCall) -> HttpResponse:
        """``GET /openapi.json``: the API's description, for whoever asks."""
        Query(call).check()
        headers = {"Cache-Control": "no-cache"}
        return HttpResponse(status=HTTPStatus.OK, body=description(self._links.base), headers=headers)

    def _next_link(self, path: str, call: HttpCall, page: Page[Any]) -> str | None:
        return self._links.next_page(path, call.query, page.token) if page.token else None


def _protection(found: Protection | None) -> dict[str, Any] | None:
    """The protected list as readiness shows it; ``None`` where its reading did not end in time."""
    if found is None:
        return None
    content: dict[str, Any] = {
        "entries": found.entries,
        "unresolved": list(found.unmatched),
        "groupMembers": found.members,
        "from": written(found.read_at) if found.read_at else None,
    }
    content |= {"kept": found.kept} if found.kept else {}
    return content | ({"unreadable": list(found.unreadable)} if found.unreadable else {})


def _list_response(entries: list[dict[str, Any]], link: str | None) -> HttpResponse:
    return json_response(HTTPStatus.OK, {"value": entries} | ({"nextLink": link} if link else {}))
