"""A loopback HTTP proxy that shows every exchange to whoever watches, and can cut one off in the middle."""

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
# They describe one connection, not the message (RFC 9110, section 7.6.1); the lengths are set anew.
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


class Watcher(Protocol):
    """Is shown each exchange twice; ``True`` cuts it off there."""

    def arrived(self, exchange: Exchange) -> bool:
        """A request has come and has not been forwarded."""

    def answered(self, exchange: Exchange) -> bool:
        """The answer is there and has not been passed on."""


class Proxy:
    """Forwards everything on one port to one server, headers and bodies unchanged.

    Args:
        side: what stands behind it.
        upstream: the server's root, e.g. ``http://127.0.0.1:10002``.
        watcher: is shown each exchange.
    """

    def __init__(self, *, side: Side, upstream: str, watcher: Watcher) -> None:
        self._side = side
        self._upstream = upstream
        self._watcher = watcher
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
            # Killed in the middle of asking: nobody is left who could be answered.
            return _cut(request)
        exchange = Exchange(side=self._side, method=request.method, path=request.raw_path, body=body)
        if self._watcher.arrived(exchange):
            return _cut(request)
        try:
            headers = await self._forward(exchange, request.headers)
        except (ClientError, OSError):
            return _cut(request)
        if self._watcher.answered(exchange):
            return _cut(request)
        return web.Response(status=exchange.status or HTTPStatus.BAD_GATEWAY, headers=headers, body=exchange.answer)

    async def _forward(self, exchange: Exchange, given: Mapping[str, str]) -> CIMultiDict[str]:
        if self._session is None:
            raise RuntimeError("the proxy has not been started")
        # The host header stays the caller's: signatures and links are made for the address that it knows.
        headers = _kept(given)
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
            return _kept(answer.headers)


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection, as a network does: no answer at all."""
    if request.transport is not None and isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
    return web.Response(status=HTTPStatus.BAD_GATEWAY)
