"""A loopback HTTP proxy that passes every exchange to an interceptor, which can abort it in the middle."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal, Protocol

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Mapping

Side = Literal["table", "queue", "graph"]

_LARGEST_BODY: Final = 64 * 1024 * 1024
# They describe one connection, not the message (RFC 9110, section 7.6.1); aiohttp sets the lengths again.
_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and, once it is there, its answer. ``path`` is raw, with its query; times are ``time.monotonic``."""

    side: Side
    method: str
    path: str
    body: bytes
    arrived_at: float = field(default_factory=time.monotonic)
    status: int | None = None
    answer: bytes = b""


class Interceptor(Protocol):
    """Gets each exchange twice; ``True`` makes the proxy abort it there."""

    def intercept_request(self, exchange: Exchange) -> bool:
        """A request has arrived and has not been forwarded."""

    def intercept_response(self, exchange: Exchange) -> bool:
        """The answer is there and has not been passed on."""


class Proxy:
    """Forwards everything on one port to one server, headers and bodies unchanged.

    Args:
        side: which server the proxy forwards to.
        upstream: the server's root, e.g. ``http://127.0.0.1:10002``.
        interceptor: gets each exchange.
    """

    def __init__(self, *, side: Side, upstream: str, interceptor: Interceptor) -> None:
        self._side = side
        self._upstream = upstream
        self._interceptor = interceptor
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def root(self) -> str:
        """Where to call instead of the server."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        connector = TCPConnector(limit=0)
        self._session = ClientSession(connector=connector, auto_decompress=False, timeout=ClientTimeout(total=None))
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except OSError:
            # The host was killed while it sent the request: there is no client to answer.
            return _abort(request)
        exchange = Exchange(side=self._side, method=request.method, path=request.raw_path, body=body)
        if self._interceptor.intercept_request(exchange):
            return _abort(request)
        try:
            headers = await self._forward(exchange, request.headers)
        except (ClientError, OSError):
            return _abort(request)
        if self._interceptor.intercept_response(exchange):
            return _abort(request)
        return web.Response(status=exchange.status or HTTPStatus.BAD_GATEWAY, headers=headers, body=exchange.answer)

    async def _forward(self, exchange: Exchange, given: Mapping[str, str]) -> CIMultiDict[str]:
        if self._session is None:
            raise RuntimeError("the proxy has not been started")
        # The host header stays the caller's: signatures and links are made for the address that it knows.
        headers = _end_to_end_headers(given)
        url = URL(self._upstream + exchange.path, encoded=True)
        async with self._session.request(
            exchange.method,
            url,
            headers=headers,
            data=exchange.body or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            exchange.answer = await answer.read()
            exchange.status = answer.status
            return _end_to_end_headers(answer.headers)


def _end_to_end_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


def _abort(request: web.Request) -> web.StreamResponse:
    """Break the connection, as a network does: no answer at all."""
    if request.transport is not None and isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response(status=HTTPStatus.BAD_GATEWAY)
