"""One caller's crowd of requests: how long somebody else's single user waits beside it, and what ends the crowd.

The quota is a tenth of the published one, in real time, and used up before the others come: what they wait for is not a
full bucket. Callers are told apart by their keys.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from local.bench.app import BenchFailedError, bulk_user_ids, reset_tenant
from local.bench.figures import Figure, at_most
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.testbed.environment import Environment

_WRITES: Final = 300
_QUOTA: Final = {"model": "bucket", "capacity": _WRITES, "refill": _WRITES / 150}
_LATENCY_MS: Final = 150
_BACKLOGS: Final = ((1_000, 1), (100, 20))
_FIRST_SECONDS: Final = 5.0
_OTHERS: Final = 5
_AT_ONCE: Final = 20
_OTHER_KEY: Final = "another-key-of-this-machine"
_END_SECONDS: Final = 120.0
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """How many requests one call ended, and after how many seconds none was open any more."""

    requests: int
    seconds: float


async def measured() -> list[Figure]:
    """The figures for each backlog; the first is ended with one call."""
    found: list[Figure] = []
    for requests, users in _BACKLOGS:
        first, cancelled = await _beside(requests, users)
        name = f"{requests:,} requests of {users} user{'s' if users > 1 else ''}"
        found += [
            Figure(
                part="crowd",
                name=f"another caller's user behind {name}: first revoke, worst of {_OTHERS}",
                value=f"{first:.2f} s",
                note=f"quota {_WRITES} per 150 s, used up",
                budget=f"<= {_FIRST_SECONDS:.0f} s",
                kept=at_most(first, _FIRST_SECONDS),
            ),
            Figure(
                part="crowd",
                name=f"cancelling {name} with one call",
                value=f"{cancelled.seconds:.1f} s",
                note=f"{cancelled.requests:,} were still open; the other caller's stay",
            ),
        ]
    return found


async def _beside(requests: int, users: int) -> tuple[float, Cancelled]:
    settings = {"GRAPH_WRITES_PER_150S": str(_WRITES), "LOCAL_MASTER_KEY": _OTHER_KEY}
    count = requests * users
    async with running_environment(users=count + _OTHERS, settings=settings) as running:
        await reset_tenant(running, latencyMs=_LATENCY_MS, quota=_QUOTA)
        known = await bulk_user_ids(running, count + _OTHERS)
        crowd = [known[start : start + users] for start in range(0, count, users)]
        await _submit_all(running, crowd)
        await _wait_until_used_up(running)
        first = max([await _first_revoke(running, user) for user in known[count:]])
        return first, await _cancel(running)


async def _submit_all(running: Environment, crowd: Sequence[Sequence[str]]) -> None:
    left = iter(crowd)

    async def caller() -> None:
        for users in left:
            status, answer = await running.api("POST", "revocations", {"users": users}, Prefer="respond-async")
            if status != HTTPStatus.ACCEPTED:
                raise BenchFailedError(f"a request of the crowd was answered {status}: {answer}")

    await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))


async def _wait_until_used_up(running: Environment) -> None:
    """Until the crowd has drawn what the bucket holds for it."""
    async with asyncio.timeout(_END_SECONDS):
        while len(await running.sim("revocations")) < 0.8 * _WRITES:  # noqa: ASYNC110 -- another process works
            await asyncio.sleep(0.5)


async def _first_revoke(running: Environment, user: str) -> float:
    """Seconds from the other caller's call to its user's revoke, by the tenant's log."""
    begun = time.time()
    status, resource = await running.api("POST", "revocations", {"user": user}, x_functions_key=_OTHER_KEY)
    served = [one for one in await running.sim("revocations") if one["userId"] == user and one["status"] in _SUCCESS]
    if status != HTTPStatus.OK or not served:
        raise BenchFailedError(f"the other caller was answered {status}: {resource}")
    return datetime.fromisoformat(served[0]["at"]).timestamp() - begun


async def _cancel(running: Environment) -> Cancelled:
    """End what the crowd's caller has open; every request of the other caller stays as it ended."""
    _, newest = await running.api("GET", "revocations?pageSize=1000&status=running")
    caller = newest["value"][0]["requestedBy"]
    begun = time.monotonic()
    status, answer = await running.api("POST", "revocations/cancel", {"requestedBy": caller})
    if status != HTTPStatus.ACCEPTED:
        raise BenchFailedError(f"the cancel was answered {status}: {answer}")
    async with asyncio.timeout(_END_SECONDS):
        while await _is_open(running, caller):  # noqa: ASYNC110 -- another process ends them
            await asyncio.sleep(0.5)
    seconds = time.monotonic() - begun
    others = [one for one in await _listed(running) if one["requestedBy"]["id"] != caller["id"]]
    if [one["status"] for one in others] != ["succeeded"] * _OTHERS:
        raise BenchFailedError(f"the other caller's requests are {[one['status'] for one in others]}")
    return Cancelled(requests=answer["requests"], seconds=seconds)


async def _is_open(running: Environment, caller: dict[str, Any]) -> bool:
    for status in ("accepted", "running"):
        _, page = await running.api("GET", f"revocations?pageSize=1000&status={status}")
        if any(one["requestedBy"]["id"] == caller["id"] for one in page["value"]):
            return True
    return False


async def _listed(running: Environment) -> list[dict[str, Any]]:
    found, path = [], "revocations?pageSize=1000"
    while path:
        _, page = await running.api("GET", path)
        found += page["value"]
        path = (page["nextLink"] or "").partition("/api/")[2]
    return found
