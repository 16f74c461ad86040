"""What one small request costs beside a plain function that does the same job (``plain_function``), in one run.

Both apps run on hosts of their own, on the same storage and tenant, and take turns: one user per HTTP call, 1, 20 and
50 at once, then one user per queue message. The CPU is that of the host's process, transactions are counted at its
proxies without idle polls. A note has the CPU ratio without what an idle host uses for polling its queues, too, which
the real host does in another process.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from azure.storage.queue.aio import QueueClient

from local.bench.app import BenchFailedError, bulk_user_ids, reset_tenant, writes
from local.bench.counting import count_traffic
from local.bench.figures import Figure, at_most
from local.bench.plain_function.function_app import QUEUE as PLAIN_QUEUE
from local.bench.plain_function.function_app import TABLE as PLAIN_TABLE
from local.testbed.environment import KEY, HostProcess, running_environment
from local.testbed.exchanges import REQUEST_QUEUE, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from local.testbed.environment import Environment

LATENCY_MS: Final = 150
AT_ONCE: Final = (1, 20, 50)
_PLAIN: Final = Path(__file__).with_name("plain_function")
_TRANSACTIONS: Final = 8.0
_CPU_RATIO: Final = 0.8
_LATENCY_RATIO: Final = 1.1
_WARM_UP: Final = 20
# So many calls for each that is in flight; a figure over fewer would move with every collection of garbage.
_ROUNDS_AT_ONCE: Final = 6
_END_SECONDS: Final = 300.0
_IDLE_SECONDS: Final = 15.0
_PERCENTILES: Final = 100
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two apps: its host, its queue, the table it logs to and the rows there that are done.

    ``idle`` is the share of a core that its host uses while nothing is asked of it.
    """

    name: str
    host: HostProcess
    queue: str
    table: str
    done: str
    idle: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What each request cost: milliseconds of CPU, storage transactions, seconds until its answer, requests a second.

    ``unpolled`` is the CPU without what the idle host uses in the same time. ``seconds`` is empty for queue messages,
    which nobody waits for.
    """

    cpu: float
    unpolled: float
    transactions: float
    seconds: tuple[float, ...]
    rate: float

    def percentile(self, percent: int) -> float:
        """Milliseconds."""
        if len(self.seconds) == 1:
            return 1000 * self.seconds[0]
        return 1000 * statistics.quantiles(self.seconds, n=_PERCENTILES, method="inclusive")[percent - 1]


async def measured(rounds: int, messages: int) -> list[Figure]:
    """One-user requests at 150 ms latency without a quota: ``rounds`` calls one by one, more at once, and messages."""
    calls = [max(rounds, _ROUNDS_AT_ONCE * at_once) for at_once in AT_ONCE]
    each_side = sum(calls) + messages + 2 * _WARM_UP
    figures: list[Figure] = []
    async with running_environment(users=2 * each_side, peer=_PLAIN) as running:
        await reset_tenant(running, quota={"model": "none"}, resourceUnitsPer10s=1_000_000_000, latencyMs=LATENCY_MS)
        users = iter(await bulk_user_ids(running, 2 * each_side))
        app = Side(
            name="the app",
            host=running.hosts[0],
            queue=REQUEST_QUEUE,
            table=REQUESTS,
            done="Source eq 'queue' and Status eq 'succeeded'",
        )
        plain = Side(
            name="a plain function",
            host=running.hosts[1],
            queue=PLAIN_QUEUE,
            table=PLAIN_TABLE,
            done="Status eq 'verified' or Status eq 'revoked'",
        )
        await running.tables.create_table_if_not_exists(PLAIN_TABLE)
        for side in (app, plain):
            await _by_http(running, side, _some(users, _WARM_UP), 1)
            await _by_queue(running, side, _some(users, _WARM_UP), 1)
        app, plain = await _with_idle(app, plain)
        for at_once, count in zip(AT_ONCE, calls, strict=True):
            costs = [await _cost(running, side, _by_http, _some(users, count), at_once) for side in (app, plain)]
            figures += _http_figures(at_once, *costs)
        costs = [await _cost(running, side, _by_queue, _some(users, messages), 1) for side in (app, plain)]
        figures += _compared(f"{messages:,} messages", *costs)
        await _check_revoked_once(running)
    return figures


def _some(users: Iterator[str], count: int) -> list[str]:
    return [next(users) for _ in range(count)]


async def _cost(
    running: Environment,
    side: Side,
    send: Callable[[Environment, Side, Sequence[str], int], Awaitable[tuple[float, ...]]],
    users: Sequence[str],
    at_once: int,
) -> Cost:
    began, used = time.perf_counter(), _cpu_seconds(side.host.pid)
    with count_traffic([side.host]) as traffic:
        seconds = await send(running, side, users, at_once)
    elapsed, busy = time.perf_counter() - began, _cpu_seconds(side.host.pid) - used
    return Cost(
        cpu=1000 * busy / len(users),
        unpolled=1000 * (busy - side.idle * elapsed) / len(users),
        transactions=traffic.storage / len(users),
        seconds=seconds,
        rate=len(users) / elapsed,
    )


async def _with_idle(app: Side, plain: Side) -> tuple[Side, Side]:
    """Both with the share of a core that their hosts use while nothing is asked of them."""
    before = [_cpu_seconds(side.host.pid) for side in (app, plain)]
    await asyncio.sleep(_IDLE_SECONDS)
    used = [_cpu_seconds(side.host.pid) - seconds for side, seconds in zip((app, plain), before, strict=True)]
    return replace(app, idle=used[0] / _IDLE_SECONDS), replace(plain, idle=used[1] / _IDLE_SECONDS)


async def _by_http(running: Environment, side: Side, users: Sequence[str], at_once: int) -> tuple[float, ...]:
    """Calls, so many at a time; how long each took."""
    left, seconds = iter(users), []

    async def caller() -> None:
        for user in left:
            began = time.perf_counter()
            url = f"{side.host.root}/api/revocations"
            async with running.session.post(url, json={"user": user}, headers={"x-functions-key": KEY}) as answer:
                text = await answer.text()
            seconds.append(time.perf_counter() - began)
            if answer.status != HTTPStatus.OK or '"verified"' not in text:
                raise BenchFailedError(f"{side.name} answered a measured call {answer.status}: {text}")

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return tuple(seconds)


async def _by_queue(running: Environment, side: Side, users: Sequence[str], _at_once: int) -> tuple[float, ...]:
    """All messages as fast as they can be put; returns when every one is carried out."""
    before = await _done(running, side)
    async with QueueClient.from_connection_string(running.connection, side.queue) as queue:
        await asyncio.gather(*(queue.send_message(user) for user in users))
    try:
        async with asyncio.timeout(_END_SECONDS):
            while await _done(running, side) < before + len(users):  # noqa: ASYNC110 -- another process ends them
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise BenchFailedError(f"{side.name} did not carry out {len(users)} messages in {_END_SECONDS:.0f} s") from None
    return ()


async def _done(running: Environment, side: Side) -> int:
    """How many messages are carried out; read past the hosts' proxies."""
    table = running.tables.get_table_client(side.table)
    return len([row async for row in table.query_entities(side.done, select=["RowKey"])])


async def _check_revoked_once(running: Environment) -> None:
    seen = [one["userId"] for one in await running.sim("revocations")]
    if len(seen) != len(set(seen)) or (await writes(running)).refused:
        raise BenchFailedError(f"{len(seen)} revoke calls reached the tenant for {len(set(seen))} users")


def _http_figures(at_once: int, app: Cost, plain: Cost) -> list[Figure]:
    what = f"{at_once} at once" if at_once > 1 else "one by one"
    app_p50, plain_p50 = app.percentile(50), plain.percentile(50)
    has_budget = at_once == 1
    return [
        *_compared(f"HTTP, {what}", app, plain),
        Figure(
            part="small",
            name=f"HTTP, {what}: until the answer, median",
            value=f"{app_p50:.0f} ms",
            note=f"{app_p50 / plain_p50:.2f} x {plain_p50:.0f} ms; p99 {app.percentile(99):.0f}, "
            f"{plain.percentile(99):.0f} ms",
            budget=f"<= {_LATENCY_RATIO} x" if has_budget else "",
            kept=at_most(app_p50 / plain_p50, _LATENCY_RATIO) if has_budget else None,
        ),
    ]


def _compared(what: str, app: Cost, plain: Cost) -> list[Figure]:
    """The lines for one way of calling; each note has the plain function's figure."""
    return [
        Figure(
            part="small",
            name=f"{what}: CPU of the host for each",
            value=f"{app.cpu:.0f} ms",
            note=f"{app.cpu / plain.cpu:.2f} x {plain.cpu:.0f} ms; {app.unpolled / plain.unpolled:.2f} x unpolled",
            budget=f"<= {_CPU_RATIO} x",
            kept=at_most(app.cpu / plain.cpu, _CPU_RATIO),
        ),
        Figure(
            part="small",
            name=f"{what}: storage transactions for each",
            value=f"{app.transactions:.1f}",
            note=f"plain {plain.transactions:.1f}",
            budget=f"<= {_TRANSACTIONS:.0f}",
            kept=at_most(app.transactions, _TRANSACTIONS),
        ),
        Figure(
            part="small",
            name=f"{what}: carried out",
            value=f"{app.rate:.1f} /s",
            note=f"plain {plain.rate:.1f} /s",
        ),
    ]


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, as Linux counts it."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as status:  # noqa: PTH123 -- a file of the kernel, read once
        fields = status.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
