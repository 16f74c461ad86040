"""One post to a callback URL: what counts as an answer, and what a receiver can do to the app."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from revoke_core.adapters import callback_receivers
from revoke_core.adapters.callback_receivers import HttpCallbackReceivers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def receivers() -> AsyncIterator[HttpCallbackReceivers]:
    made = HttpCallbackReceivers()
    yield made
    await made.close()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/hook?sig=c2VjcmV0"


async def head(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode()


async def test_an_answer_without_an_end_is_not_read(receivers: HttpCallbackReceivers) -> None:
    """Its status is all that counts; the connection is closed on the receiver, which sends for ever."""
    hung_up = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
        finally:
            hung_up.set()

    async with serving(flood) as url, asyncio.timeout(10):
        assert await receivers.post(url, b"{}", {}) == 200
        await hung_up.wait()


async def test_a_receiver_that_does_not_answer_is_given_up(
    receivers: HttpCallbackReceivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 15 seconds, a tenth of one here; also one that sends its answer letter by letter."""
    assert callback_receivers._ANSWER_SECONDS == 15
    monkeypatch.setattr(callback_receivers, "_ANSWER_SECONDS", 0.1)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with serving(trickle) as url, asyncio.timeout(5):
        assert await receivers.post(url, b"{}", {}) is None


async def test_what_is_no_answer_at_all_is_none(
    receivers: HttpCallbackReceivers, caplog: pytest.LogCaptureFixture
) -> None:
    """Noise, a connection that is closed, a port where nobody listens: no exception, and no URL in the log."""
    caplog.set_level(logging.DEBUG)

    async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"SSH-2.0-hello\r\n\r\n")

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await head(reader)

    for serve in (noise, silence):
        async with serving(serve) as url:
            assert await receivers.post(url, b"{}", {}) is None
    assert await receivers.post(url, b"{}", {}) is None
    assert "callback_not_answered" in caplog.text
    assert "c2VjcmV0" not in caplog.text


async def test_a_post_goes_straight_and_brings_nothing_along(
    receivers: HttpCallbackReceivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proxy that the environment names, no cookie of an earlier answer, no redirect; the URL as it was given."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    heads: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        )
        await writer.drain()

    async with serving(redirect) as url:
        for _ in range(2):
            assert await receivers.post(f"{url}&x=%2Fa%2fb", b"{}", {"webhook-id": "a"}) == 307
    assert len(heads) == 2
    for sent in heads:
        assert sent.startswith("POST /hook?sig=c2VjcmV0&x=%2Fa%2fb HTTP/1.1\r\n")
        assert "webhook-id: a\r\n" in sent
        assert "content-type: application/json\r\n" in sent.lower()
        assert "cookie" not in sent.lower()
