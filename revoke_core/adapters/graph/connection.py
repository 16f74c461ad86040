"""The Graph SDK's HTTP client over aiohttp, which costs the host a third of what httpx's own connections cost.

What matters here is which failures say for certain that a call never left: only then may a revoke be sent again
without reading first.
"""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
import certifi
import httpx
from yarl import URL

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
# Until a connection is free or made; then the time to the next piece of the answer.
_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS
)
# A claims challenge is a long header.
_LONGEST_LINE: Final = 65_536


class AioHttpConnections(httpx.AsyncBaseTransport):
    """The transport of an ``httpx.AsyncClient``: no proxy, no cookie, no redirect, no retry of a write.

    Raises ``httpx.ConnectError`` for a call that did not leave and ``httpx.ReadError`` for any other without an answer.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one call and read its answer whole; the caller decodes it by its headers."""
        try:
            async with self._opened().request(
                request.method,
                # As it is encoded: httpx has checked and encoded the address.
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=request.content or None,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as problem:
            raise httpx.ConnectError(type(problem).__name__) from problem
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise httpx.ReadError(type(problem).__name__) from problem
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=httpx.ByteStream(body), request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = client_session(_TIMEOUT)
        return self._session


def client_session(timeout: aiohttp.ClientTimeout, *, reuse: bool = True) -> aiohttp.ClientSession:
    """Connections of their own without proxy, cookies or headers that nobody asked for.

    Without ``reuse`` each call makes a connection: a server may have closed an old one.
    """
    trusted = ssl.create_default_context(cafile=certifi.where())
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted, force_close=not reuse),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        timeout=timeout,
        auto_decompress=False,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
    )
