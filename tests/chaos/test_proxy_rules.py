import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, web
from yarl import URL

from local.rig.proxy import Exchange, Proxy
from local.rig.rules import Moment, Rule, Watch


@asynccontextmanager
async def proxied(watch: Watch) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that notes what reaches it, behind a proxy; the proxy's root and the notes."""
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(f"{request.method} {request.raw_path} {await request.text()}")
        return web.Response(text="served", headers={"x-served": request.host}, status=201)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy = Proxy(side="table", upstream=f"http://127.0.0.1:{runner.addresses[0][1]}", watcher=watch)
    await proxy.start()
    try:
        yield proxy.root, reached
    finally:
        await proxy.stop()
        await runner.cleanup()


def rule(nth: int, when: Moment, struck: list[str], *, cut: bool = True) -> Rule:
    def matches(exchange: Exchange) -> bool:
        return exchange.method == "POST"

    return Rule(name="test", matches=matches, nth=nth, when=when, act=lambda: struck.append(when), cut=cut)


async def posted(session: ClientSession, root: str, number: int) -> bool:
    """Whether a call was answered."""
    try:
        async with session.post(f"{root}/number", data=str(number)) as answer:
            return answer.status == 201
    except ClientError:
        return False


async def test_what_passes_is_not_changed() -> None:
    """Signed requests stay valid: method, raw path, host, body, status and headers go through as they are."""
    async with proxied(Watch()) as (root, reached), ClientSession() as session:
        async with session.put(URL(f"{root}/a%2Fb('x')?q=%24top", encoded=True), data="body") as answer:
            assert (answer.status, await answer.text()) == (201, "served")
            assert answer.headers["x-served"] == root.removeprefix("http://")
        assert reached == ["PUT /a%2Fb('x')?q=%24top body"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_rule_strikes_once_at_its_exchange(when: Moment) -> None:
    """Only the third match is cut, and whether it reached the server is what before and after mean."""
    watch, struck = Watch(), []
    watch.rules.append(rule(3, when, struck))
    async with proxied(watch) as (root, reached), ClientSession() as session:
        async with session.get(f"{root}/other") as answer:
            assert answer.status == 201
        answers = [await posted(session, root, number) for number in range(1, 7)]
    assert answers == [True, True, False, True, True, True]
    assert struck == [when]
    assert ("POST /number 3" in reached) == (when == "after")
    assert len(reached) == (7 if when == "after" else 6)


async def test_a_rule_strikes_once_among_calls_at_the_same_time() -> None:
    """Many matches in flight together are still one strike."""
    watch, struck = Watch(), []
    watch.rules.append(rule(5, "after", struck))
    async with proxied(watch) as (root, _), ClientSession() as session:
        answers = await asyncio.gather(*(posted(session, root, number) for number in range(30)))
    assert (answers.count(False), struck) == (1, ["after"])


async def test_a_rule_that_does_not_cut_lets_the_call_through() -> None:
    """Double delivery needs a moment, not a loss."""
    watch, struck = Watch(), []
    watch.rules.append(rule(1, "before", struck, cut=False))
    async with proxied(watch) as (root, _), ClientSession() as session:
        assert await posted(session, root, 1)
    assert struck == ["before"]
