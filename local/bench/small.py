"""What one small request costs: storage transactions and CPU of the host, over HTTP and by queue message."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from azure.storage.queue.aio import QueueClient

from local.bench.app import BenchFailedError, bulk_user_ids, reset_tenant
from local.bench.counting import count_traffic
from local.bench.figures import Figure, at_most
from local.testbed.environment import running_environment
from local.testbed.exchanges import REQUEST_QUEUE, REQUESTS

if TYPE_CHECKING:
    from local.testbed.environment import Environment

_TRANSACTIONS: Final = 9.0
_WARM_UP: Final = 5
_END_SECONDS: Final = 60.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def measured(requests: int) -> list[Figure]:
    """One-user requests; transactions without idle polls, no latency and no quota."""
    figures = []
    async with running_environment(users=2 * (requests + _WARM_UP)) as running:
        await reset_tenant(running, quota={"model": "none"})
        users = await bulk_user_ids(running, 2 * (requests + _WARM_UP))
        half = len(users) // 2
        for name, send, named in (("HTTP", _by_http, users[:half]), ("queue message", _by_queue, users[half:])):
            await send(running, named[:_WARM_UP])
            began = _cpu_seconds(running.host.pid)
            with count_traffic([running.host]) as traffic:
                await send(running, named[_WARM_UP:])
            transactions = traffic.storage / requests
            cpu = 1000 * (_cpu_seconds(running.host.pid) - began) / requests
            figures += [
                Figure(
                    part="small",
                    name=f"storage transactions of one user by {name}",
                    value=f"{transactions:.1f}",
                    budget=f"<= {_TRANSACTIONS:.0f}",
                    kept=at_most(transactions, _TRANSACTIONS),
                ),
                Figure(part="small", name=f"CPU of the host for it, by {name}", value=f"{cpu:.0f} ms"),
            ]
    return figures


async def _by_http(running: Environment, users: list[str]) -> None:
    """One call after the other."""
    for user in users:
        status, resource = await running.api("POST", "revocations", {"user": user})
        if status != HTTPStatus.OK or resource["counts"]["verified"] != 1:
            raise BenchFailedError(f"a measured call was answered {status}: {resource}")


async def _by_queue(running: Environment, users: list[str]) -> None:
    """All messages at once; returns when every request has ended."""
    before = await _ended(running)
    async with QueueClient.from_connection_string(running.connection, REQUEST_QUEUE) as queue:
        for user in users:
            await queue.send_message(user)
    async with asyncio.timeout(_END_SECONDS):
        while await _ended(running) < before + len(users):  # noqa: ASYNC110 -- another process ends them
            await asyncio.sleep(0.2)


async def _ended(running: Environment) -> int:
    """How many requests by queue message have ended well; read past the host's proxies."""
    table = running.tables.get_table_client(REQUESTS)
    query = "Source eq 'queue' and Status eq 'succeeded'"
    return len([row async for row in table.query_entities(query, select=["RowKey"])])


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, as Linux counts it."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as status:  # noqa: PTH123 -- a file of the kernel, read once
        fields = status.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
