"""Connections to Graph: which failures prove that a call never left, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from revoke_core.adapters.graph.connection import AioHttpConnections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENDED = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Gives each connection's requests the answer bytes; with ``closes`` it hangs up behind each."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        self.answer = answer
        self.closes = closes
        self.heads: list[str] = []
        self.root = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head.decode())
                writer.write(self.answer)
                if self.closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()


@asynccontextmanager
async def serving(answer: bytes, *, closes: bool = False) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    server = Server(answer, closes=closes)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.root = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    connections = AioHttpConnections()
    async with listener, httpx.AsyncClient(transport=connections, follow_redirects=False) as client:
        yield server, client


async def test_a_call_that_nobody_takes_never_left() -> None:
    """A refused connection: the user may be sent again without being read first."""
    async with serving(ENDED) as (server, client):
        root = server.root
    async with httpx.AsyncClient(transport=AioHttpConnections()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(root)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"nonsense\r\n\r\n"]
)
async def test_a_call_whose_answer_is_lost_may_have_been_carried_out(answer: bytes) -> None:
    """No connection error, and a write is not repeated by itself."""
    async with serving(answer, closes=True) as (server, client):
        with pytest.raises(httpx.ReadError):
            await client.post(server.root, content=b"{}")
        assert len(server.heads) == 1


async def test_an_address_leaves_as_it_was_encoded() -> None:
    """A guest's name and one that begins with a dollar sign reach Graph as one path segment."""
    async with serving(ENDED) as (server, client):
        await client.get(
            f"{server.root}/v1.0/users/zo%C3%AB%23EXT%23%40contoso.com?$select=id&$filter=a%20eq%20'b%2Bc'"
        )
        line = server.heads[0].splitlines()[0]
        assert line.startswith("GET /v1.0/users/zo%C3%AB%23EXT%23%40contoso.com?$select=id&$filter=a%20eq%20'b%2Bc' ")


async def test_no_redirect_is_followed_and_a_packed_answer_is_unpacked() -> None:
    """The token must not go to another address; and Graph may send its answers compressed."""
    body = gzip.compress(b'{"id": "x"}')
    head = (
        f"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with serving(head.encode() + body) as (server, client):
        answer = await client.get(server.root)
        assert (answer.status_code, answer.json()) == (302, {"id": "x"})
        assert len(server.heads) == 1


async def test_a_long_challenge_is_read() -> None:
    """A claims challenge stands in one header of several thousand characters."""
    challenge = "Bearer claims=" + "x" * 30_000
    head = f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
    async with serving(head.encode()) as (server, client):
        assert (await client.get(server.root)).headers["www-authenticate"] == challenge
