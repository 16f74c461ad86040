"""The HTTP side: routes, function keys, and the way of a call through the runtime and back."""

from __future__ import annotations

import hmac
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from local.host.messages import Message, TypedData

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from local.host.runtime import Function, Runtime
    from local.host.timers import Timers

_LOG: Final = logging.getLogger("host.http")
_LARGEST_BODY: Final = 104_857_600
_PARAMETER: Final = re.compile(r"\{(\*?)(\w+)(?::(\w+))?(\?)?\}")
_CONSTRAINTS: Final = {"int": r"-?\d+", "guid": r"[0-9a-fA-F-]{36}", "alpha": "[A-Za-z]+", "bool": "true|false"}


class WebSide:
    """Builds the web application for an app's HTTP functions."""

    def __init__(self, *, runtime: Runtime, prefix: str, key: str, master_key: str, timers: Timers) -> None:
        self._runtime = runtime
        self._prefix = f"/{prefix}" if prefix else ""
        self._key = key
        self._master_key = master_key
        self._timers = timers
        self.running = 0

    def application(self) -> web.Application:
        """The routes; an unknown one and a wrong method are both 404, as on the real host."""
        application = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_bare_errors])
        for function in self._runtime.functions:
            if function.kind == "httpTrigger":
                for method in function.trigger.get("methods") or ["GET", "POST"]:
                    for path in self._paths(function):
                        application.router.add_route(str(method).upper(), path, self._handler(function))
        application.router.add_post("/admin/functions/{name}", self._run_timer)
        application.router.add_get("/admin/host/status", self._host_status)
        return application

    def urls(self, root: str) -> list[str]:
        """One line per HTTP function, for people."""
        return [
            f"{'|'.join(function.trigger.get('methods') or ['GET', 'POST'])} {root}{self._prefix}/{_route(function)}"
            for function in self._runtime.functions
            if function.kind == "httpTrigger"
        ]

    def _paths(self, function: Function) -> list[str]:
        route = _route(function)
        paths = [f"{self._prefix}/{_PARAMETER.sub(_pattern, route)}"]
        if route.endswith("?}"):
            paths.append(f"{self._prefix}/{_PARAMETER.sub(_pattern, route[: route.rindex('/{')])}")
        return paths

    def _handler(self, function: Function) -> Callable[[web.Request], Awaitable[web.Response]]:
        level = str(function.trigger.get("authLevel", "FUNCTION")).upper()

        async def handle(request: web.Request) -> web.Response:
            if not self._may_call(level, request):
                return web.Response(status=401)
            self.running += 1
            try:
                return await self._answered(function, request)
            finally:
                self.running -= 1

        return handle

    def _may_call(self, level: str, request: web.Request) -> bool:
        if level == "ANONYMOUS":
            return True
        given = (request.headers.get("x-functions-key") or request.query.get("code") or "").encode()
        keys = [self._master_key] if level == "ADMIN" else [self._key, self._master_key]
        # A list, so that every comparison is made whichever key fits.
        return any([hmac.compare_digest(given, key.encode()) for key in keys])  # noqa: C419 -- see above

    async def _answered(self, function: Function, request: web.Request) -> web.Response:
        http = Message(
            method=request.method,
            url=str(request.url),
            headers={name.lower(): value for name, value in request.headers.items()},
            params=dict(request.match_info),
            query=dict(request.query),
            body=TypedData(bytes=await request.read()),
        )
        outcome = await self._runtime.call(
            function, TypedData(http=http), traceparent=request.headers.get("traceparent", "")
        )
        if not outcome.ok or outcome.http is None:
            _LOG.error("Functions.%s failed: %s", function.name, outcome.error)
            return web.Response(status=500)
        return _response(outcome.http)

    async def _run_timer(self, request: web.Request) -> web.Response:
        if not self._may_call("ADMIN", request):
            return web.Response(status=401)
        started = self._timers.run_now(request.match_info["name"])
        return web.Response(status=202 if started else 404)

    async def _host_status(self, request: web.Request) -> web.Response:
        if not self._may_call("ADMIN", request):
            return web.Response(status=401)
        return web.json_response({"state": "Running"})


def _route(function: Function) -> str:
    return str(function.trigger.get("route") or function.name).strip("/")


def _pattern(match: re.Match[str]) -> str:
    star, name, constraint, _optional = match.groups()
    if star:
        return f"{{{name}:.*}}"
    return f"{{{name}:{_CONSTRAINTS.get(constraint, '[^/]+')}}}"


def _response(http: Any) -> web.Response:
    headers = {name: value for name, value in (http.headers or {}).items() if name.lower() != "content-length"}
    answer = web.Response(status=int(http.status_code), headers=headers, body=getattr(http.body, "bytes", b"") or b"")
    for cookie in getattr(http, "cookies", None) or []:
        answer.set_cookie(cookie.name, cookie.value)
    return answer


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
