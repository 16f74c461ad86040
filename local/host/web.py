"""The HTTP side: the way of a call through keys and runtime and back, and the host's own routes."""

from __future__ import annotations

import logging
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from local.host.messages import Message, RpcHttpCookie, TypedData

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from multidict import MultiMapping

    from local.host.invoker import Invoker
    from local.host.keys import Keys
    from local.host.routes import Routes
    from local.host.runtime import Outcome
    from local.host.timers import Timer

_LOG: Final = logging.getLogger("host.http")


def hide_malformed_calls() -> None:
    """Answer what is no HTTP with a bare 400: aiohttp would quote it in the answer and the log, a key among it."""
    answer = RequestHandler.handle_error

    def handle_error(
        self: RequestHandler,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != HTTPStatus.BAD_REQUEST:
            return answer(self, request, status, exc, message)
        _LOG.warning("a call that is no HTTP was refused (%s)", type(exc).__name__)
        refused = web.Response(status=status)
        refused.force_close()
        return refused

    RequestHandler.handle_error = handle_error  # type: ignore[method-assign]  # aiohttp has no other place for it


class WebSide:
    """Builds the web application for an app's HTTP functions."""

    def __init__(self, *, invoker: Invoker, routes: Routes, keys: Keys, timers: Iterable[Timer]) -> None:
        self._invoker = invoker
        self._routes = routes
        self._keys = keys
        self._timers: Mapping[str, Timer] = {timer.name: timer for timer in timers}

    def application(self, *, largest_body: int) -> web.Application:
        """Everything the host answers; bodies above ``largest_body`` bytes are refused with 413."""
        application = web.Application(client_max_size=largest_body, middlewares=[_bare_errors])
        application.router.add_post("/admin/functions/{name}", self._run_timer)
        application.router.add_get("/admin/host/status", self._host_status)
        application.router.add_route("*", "/{path:.*}", self._function)
        return application

    async def _function(self, request: web.Request) -> web.Response:
        found = self._routes.match(request.method, request.rel_url.raw_path)
        if found is None:
            return web.Response(status=204 if request.path == "/" else 404)
        function, parameters = found
        if not self._keys.allow(str(function.trigger.get("authLevel", "FUNCTION")), request):
            return web.Response(status=401)
        outcome = await self._invoker.invoke(
            function,
            TypedData(http=await _http(request, parameters)),
            reason=f"This function was programmatically called via the host APIs: {request.method} {request.path}",
            traceparent=request.headers.get("traceparent", ""),
        )
        return _response(outcome)

    async def _run_timer(self, request: web.Request) -> web.Response:
        if not self._keys.allow("ADMIN", request):
            return web.Response(status=401)
        timer = self._timers.get(request.match_info["name"])
        if timer is None:
            return web.Response(status=404)
        timer.run_now("This function was programmatically called via the host APIs")
        return web.Response(status=202)

    async def _host_status(self, request: web.Request) -> web.Response:
        if not self._keys.allow("ADMIN", request):
            return web.Response(status=401)
        return web.json_response({"state": "Running"})


async def _http(request: web.Request, parameters: Mapping[str, str]) -> Message:
    return Message(
        method=request.method,
        url=str(request.url),
        headers=_joined(request.headers),
        params=dict(parameters),
        # The real host leaves out empty query values.
        query={name: value for name, value in _joined(request.query, lower=False).items() if value},
        body=TypedData(bytes=await request.read()),
    )


def _joined(values: MultiMapping[str], *, lower: bool = True) -> dict[str, str]:
    """One value per name, doubled ones joined by a comma; names that differ in case only are the same."""
    names: dict[str, str] = {}
    joined: dict[str, str] = {}
    for name, value in values.items():
        kept = names.setdefault(name.lower(), name.lower() if lower else name)
        joined[kept] = f"{joined[kept]},{value}" if kept in joined else value
    return joined


def _response(outcome: Outcome) -> web.Response:
    if not outcome.ok:
        return web.Response(status=500)
    returned = outcome.returned
    text = getattr(returned, "string", None)
    if isinstance(text, str):
        return web.Response(text=text)
    http = getattr(returned, "http", None)
    if http is None:
        return web.Response(status=204)
    headers = {name: value for name, value in (http.headers or {}).items() if name.lower() != "content-length"}
    answer = web.Response(status=int(http.status_code), headers=headers, body=getattr(http.body, "bytes", b"") or b"")
    for cookie in http.cookies or []:
        _set_cookie(answer, cookie)
    return answer


def _set_cookie(answer: web.Response, cookie: RpcHttpCookie) -> None:
    def value(name: str) -> Any:
        return getattr(getattr(cookie, name), "value", None)

    expires = value("expires")
    max_age = value("max_age")
    reach = {1: "Lax", 2: "Strict", 3: "None"}.get(cookie.same_site)
    answer.set_cookie(
        cookie.name,
        cookie.value,
        domain=value("domain") or None,
        path=value("path") or "/",
        expires=formatdate(expires.seconds, usegmt=True) if expires else None,
        max_age=None if max_age is None else int(max_age),
        secure=value("secure") or None,
        httponly=value("http_only") or None,
        samesite=reach,
    )


@web.middleware
async def _bare_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The real host answers these without a body, and a wrong method like an unknown route."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed:
        return web.Response(status=404)
    except web.HTTPException as answer:
        return web.Response(status=answer.status)
