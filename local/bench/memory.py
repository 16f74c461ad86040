"""Peak memory of a host for requests of growing size, each with a fresh host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.bench.app import finished, fresh, people, submitted
from local.bench.counting import peak_memory
from local.bench.figures import Figure, at_most
from local.rig.stage import stage

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALLEST: Final = 1000
_GROWTH: Final = 0.05
# Slower than any engine here: it is the memory that is measured.
_USERS_PER_SECOND: Final = 40
_LEAST_SECONDS: Final = 120.0


async def measured(sizes: Sequence[int]) -> list[Figure]:
    """One line per size, growth against the smallest; no quota, no latency."""
    base, lines = 0.0, []
    for size in sorted({SMALLEST, *sizes}):
        peak = await _peak(size)
        base = base or peak
        growth = peak / base - 1
        lines.append(
            Figure(
                part="memory",
                name=f"{size:,} users, peak of the host",
                value=f"{peak:.0f} MB",
                note=f"{growth:+.1%}" if size > SMALLEST else "",
                budget=f"<= {_GROWTH:+.0%}" if size > SMALLEST else "",
                kept=at_most(growth, _GROWTH) if size > SMALLEST else None,
            )
        )
    return lines


async def _peak(size: int) -> float:
    async with stage(users=size, settings={"GRAPH_WRITES_PER_150S": "1000000"}) as running:
        named = await people(running, size)
        await fresh(running, quota={"model": "none"}, resourceUnitsPer10s=1_000_000_000)
        request = await submitted(running, named)
        await finished(running, request["id"], seconds=max(_LEAST_SECONDS, size / _USERS_PER_SECOND))
        return peak_memory(running.seat.pid)
