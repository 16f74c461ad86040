"""Small requests beside a huge one: its 202, its status, and a request for one user that comes after it."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from local.bench.app import BenchFailedError, reset_tenant, submit
from local.bench.counting import count_traffic
from local.bench.figures import Figure, at_most
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from local.testbed.environment import Environment

LATENCY_MS: Final = 150
_ACCEPT_SECONDS: Final = 2.0
_FIRST_SECONDS: Final = 2.0
_STATUS_MS: Final = 300.0
_SHOWN: Final = 100
_HANDFUL: Final = 10
_POLLS: Final = 30
# The huge request is well under way by then.
_HEAD_START: Final = 8.0
_ONE_AFTER_ANOTHER: Final = 5


async def measured(users: int, hosts: int) -> list[Figure]:
    """The figures; the huge request is left unfinished."""
    async with running_environment(users=users + _ONE_AFTER_ANOTHER, hosts=hosts) as running:
        await reset_tenant(running, latencyMs=LATENCY_MS)
        known = await running.sim("users")
        named = [user["id"] for user in known if user["userPrincipalName"].startswith("user")]
        begun = time.perf_counter()
        request = await submit(running, named[:users])
        accepted = time.perf_counter() - begun
        await asyncio.sleep(_HEAD_START)
        first, whole = await _small_ones(running, named[users:])
        milliseconds, rows = await _status(running, request["id"])
    return [
        Figure(
            part="large",
            name=f"202 for {users:,} ids",
            value=f"{accepted:.2f} s",
            budget=f"<= {_ACCEPT_SECONDS:.0f} s",
            kept=at_most(accepted, _ACCEPT_SECONDS),
        ),
        Figure(
            part="large",
            name="one user behind it, first revoke, worst of 5",
            value=f"{first:.2f} s",
            note=f"answered after {whole:.2f} s",
            budget=f"<= {_FIRST_SECONDS:.0f} s",
            kept=at_most(first, _FIRST_SECONDS),
        ),
        Figure(
            part="large",
            name="its status, median",
            value=f"{milliseconds:.1f} ms",
            budget=f"<= {_STATUS_MS:.0f} ms",
            kept=at_most(milliseconds, _STATUS_MS),
        ),
        Figure(
            part="large",
            name="rows read for one status",
            value=str(rows),
            note=f"it shows {_SHOWN} users at most",
            budget=f"<= {_SHOWN + _HANDFUL}",
            kept=at_most(rows, _SHOWN + _HANDFUL),
        ),
    ]


async def _small_ones(running: Environment, named: list[str]) -> tuple[float, float]:
    """Seconds from the call to the revoke by the tenant's log, and to the answer: the worst of some."""
    firsts, wholes = [], []
    for user in named:
        begun = time.time()
        await submit(running, [user])
        wholes.append(time.time() - begun)
        served = [one for one in await running.sim("revocations") if one["userId"] == user]
        if not served:
            raise BenchFailedError("one user behind a huge request was not revoked inside the call")
        firsts.append(datetime.fromisoformat(served[0]["at"]).timestamp() - begun)
    return max(firsts), max(wholes)


async def _status(running: Environment, request_id: str) -> tuple[float, int]:
    """Median milliseconds of a status, and the rows that one reads.

    The engine's own reads are counted as well: the status call with the fewest rows has least of them.
    """
    times, rows = [], []
    for _ in range(_POLLS):
        with count_traffic(running.hosts[:1]) as traffic:
            begun = time.perf_counter()
            status, _ = await running.api("GET", f"revocations/{request_id}")
            times.append((time.perf_counter() - begun) * 1000)
        if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise BenchFailedError(f"the status was answered {status}")
        rows.append(traffic.rows)
    return statistics.median(times), min(rows)
