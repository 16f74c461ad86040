"""Peak memory for requests of growing size, each with fresh hosts: of the one that takes it in and the one that works.

They are two processes here because they are two instances in Azure: on the Flex Consumption plan HTTP functions scale
together and every queue function by itself
(https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan#per-function-scaling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.bench.app import bulk_user_ids, reset_tenant, submit, wait_finished
from local.bench.counting import peak_memory
from local.bench.figures import Figure, at_most
from local.processes import start
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST: Final = 1000
_GROWTH: Final = 0.05
# Slower than any engine here: it is the memory that is measured.
_USERS_PER_SECOND: Final = 40
_LEAST_SECONDS: Final = 120.0
_QUEUE_SIDE: Final = (
    *("on_request_message", "on_work_message", "on_request_poison", "on_work_poison"),
    *("sweep", "remove_old"),
)


async def measured(sizes: Sequence[int]) -> list[Figure]:
    """Two lines per size, growth against the smallest; no quota, no latency."""
    base: tuple[float, float] | None = None
    lines = []
    for size in sorted({SMALLEST, *sizes}):
        taker, worker = await _peaks(size)
        base = base or (taker, worker)
        growth = worker / base[1] - 1
        grown = size > SMALLEST
        lines.append(
            Figure(
                part="memory",
                name=f"{size:,} users, peak of the host that works",
                value=f"{worker:.0f} MB",
                note=f"{growth:+.1%}" if grown else "",
                budget=f"<= {_GROWTH:+.0%}" if grown else "",
                kept=at_most(growth, _GROWTH) if grown else None,
            )
        )
        note = f"{taker / base[0] - 1:+.1%}, the body among it" if grown else ""
        lines.append(
            Figure(
                part="memory",
                name=f"{size:,} users, peak of the host that took it in",
                value=f"{taker:.0f} MB",
                note=note,
            )
        )
    return lines


async def _peaks(size: int) -> tuple[float, float]:
    settings = {"GRAPH_WRITES_PER_150S": "1000000"} | {f"AzureWebJobs.{name}.Disabled": "true" for name in _QUEUE_SIDE}
    async with running_environment(users=size, settings=settings) as running:
        named = await bulk_user_ids(running, size)
        await reset_tenant(running, quota={"model": "none"}, resourceUnitsPer10s=1_000_000_000)
        environment = {name: value for name, value in running.host.variables.items() if "Disabled" not in name}
        worker = await start("host", ["host", "--port", "0", "--json"], environment=environment)
        try:
            request = await submit(running, named)
            await wait_finished(running, request["id"], seconds=max(_LEAST_SECONDS, size / _USERS_PER_SECOND))
            return peak_memory(running.host.pid), peak_memory(worker.pid)
        finally:
            await worker.stop()
