import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, web
from yarl import URL

from local.testbed.interceptor import Phase, Rule, RuleInterceptor
from local.testbed.proxy import Exchange, Proxy


@asynccontextmanager
async def proxied(interceptor: RuleInterceptor) -> AsyncIterator[tuple[str, list[str]]]:
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
    proxy = Proxy(side="table", upstream=f"http://127.0.0.1:{runner.addresses[0][1]}", interceptor=interceptor)
    await proxy.start()
    try:
        yield proxy.root, reached
    finally:
        await proxy.stop()
        await runner.cleanup()


def rule(nth: int, phase: Phase, fired: list[str], *, abort: bool = True) -> Rule:
    def matches(exchange: Exchange) -> bool:
        return exchange.method == "POST"

    return Rule(name="test", matches=matches, nth=nth, phase=phase, action=lambda: fired.append(phase), abort=abort)


async def posted(session: ClientSession, root: str, number: int) -> bool:
    """Whether a call was answered."""
    try:
        async with session.post(f"{root}/number", data=str(number)) as answer:
            return answer.status == 201
    except ClientError:
        return False


async def test_what_passes_is_not_changed() -> None:
    """Signed requests stay valid: method, raw path, host, body, status and headers go through as they are."""
    async with proxied(RuleInterceptor()) as (root, reached), ClientSession() as session:
        async with session.put(URL(f"{root}/a%2Fb('x')?q=%24top", encoded=True), data="body") as answer:
            assert (answer.status, await answer.text()) == (201, "served")
            assert answer.headers["x-served"] == root.removeprefix("http://")
        assert reached == ["PUT /a%2Fb('x')?q=%24top body"]


@pytest.mark.parametrize("phase", ["before", "after"])
async def test_a_rule_fires_once_at_its_exchange(phase: Phase) -> None:
    """Only the third match is aborted, and whether it reached the server is what before and after mean."""
    interceptor, fired = RuleInterceptor(), []
    interceptor.rules.append(rule(3, phase, fired))
    async with proxied(interceptor) as (root, reached), ClientSession() as session:
        async with session.get(f"{root}/other") as answer:
            assert answer.status == 201
        answers = [await posted(session, root, number) for number in range(1, 7)]
    assert answers == [True, True, False, True, True, True]
    assert fired == [phase]
    assert ("POST /number 3" in reached) == (phase == "after")
    assert len(reached) == (7 if phase == "after" else 6)


async def test_a_rule_fires_once_among_calls_at_the_same_time() -> None:
    """Many matches in flight together still fire it once."""
    interceptor, fired = RuleInterceptor(), []
    interceptor.rules.append(rule(5, "after", fired))
    async with proxied(interceptor) as (root, _), ClientSession() as session:
        answers = await asyncio.gather(*(posted(session, root, number) for number in range(30)))
    assert (answers.count(False), fired) == (1, ["after"])


async def test_a_rule_that_does_not_abort_lets_the_call_through() -> None:
    """A redelivery needs a point in time, not a lost answer."""
    interceptor, fired = RuleInterceptor(), []
    interceptor.rules.append(rule(1, "before", fired, abort=False))
    async with proxied(interceptor) as (root, _), ClientSession() as session:
        assert await posted(session, root, 1)
    assert fired == ["before"]
