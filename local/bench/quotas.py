"""The app's bulk engine under each write quota: share of the bound, refused calls, calls and transactions per user."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.bench.app import Writes, bulk_user_ids, reset_tenant, submit, wait_finished
from local.bench.app import writes as served
from local.bench.bounds import MODELS, Quota
from local.bench.counting import TrafficCounts, count_traffic, peak_memory
from local.bench.figures import Figure, at_most
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.testbed.environment import Environment

PUBLISHED: Final = 3000
# What a batch of 20 takes; scaled with the quota's time, so that the ratio of the two stays real.
BATCH_MS: Final = 350
_SHARES: Final = {"bucket": 0.97, "rejectsCost": 0.97, "window": 0.95, "hidden": 0.97, "empty": 0.93}
_REFUSED: Final = {"bucket": 0.005, "rejectsCost": 0.005, "window": 0.01, "hidden": 0.01, "empty": 0.005}
_TRANSACTIONS: Final = 0.2
_MAX_WAIT: Final = 10.0
# A status call reads storage as well: no more often than its Retry-After asks for while a large request runs.
_POLL_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class QuotaRun:
    """One run under one quota; ``idle`` are quota seconds from the quota's start to the first write."""

    quota: Quota
    users: int
    scale: float
    idle: float
    seen: Writes
    traffic: TrafficCounts
    memory: float
    late: float
    violations: int

    @property
    def bound(self) -> float:
        """Real seconds."""
        return self.quota.bound(self.users, idle=self.idle) / self.scale

    @property
    def share(self) -> float:
        """How much of the quota's own speed was reached; 1 is the bound."""
        return self.bound / self.seen.seconds if self.seen.seconds else 0.0


async def measured(
    models: Sequence[str], *, users: int, writes: int, scale: float, hosts: int, settings: Mapping[str, str]
) -> list[QuotaRun]:
    """Each model with fresh hosts and storage; ``writes`` per 150 s, which pass ``scale`` times faster."""
    scaled = {"GRAPH_WRITES_PER_150S": str(round(writes * scale))} | dict(settings)
    found = []
    for model in models:
        async with running_environment(users=users, settings=scaled, hosts=hosts) as running:
            found.append(await _one(running, MODELS[model].times(writes / PUBLISHED), users, scale))
    return found


async def _one(running: Environment, quota: Quota, users: int, scale: float) -> QuotaRun:
    named = await bulk_user_ids(running, users)
    config = {"timeScale": scale, "latencyMs": BATCH_MS / scale, "retryAfterStyle": "fractional"}
    shape = {"model": quota.model, "capacity": quota.capacity, "refill": quota.refill}
    await reset_tenant(running, quota=shape, **config)
    begun = time.time()
    with count_traffic(running.hosts) as traffic:
        request = await submit(running, named)
        patience = _MAX_WAIT * quota.bound(users) / scale + 120
        await wait_finished(running, request["id"], seconds=patience, every=_POLL_SECONDS)
    seen = await served(running)
    calls = await running.sim("calls")
    return QuotaRun(
        quota=quota,
        users=users,
        scale=scale,
        idle=(seen.accepted[0] - begun) * scale,
        seen=seen,
        traffic=traffic,
        memory=max(peak_memory(host.pid) for host in running.hosts),
        late=calls["largestLatenessSeconds"],
        violations=calls["gateViolations"],
    )


def figures(results: Sequence[QuotaRun]) -> list[Figure]:
    """The lines of the table."""
    return [line for result in results for line in _lines(result)]


def _lines(result: QuotaRun) -> list[Figure]:
    model, users, seen, traffic = result.quota.model, result.users, result.seen, result.traffic
    share, refused = _SHARES[model], _REFUSED[model]
    transactions = traffic.storage / users
    return [
        Figure(
            part=model,
            name=f"{users:,} users, share of the bound",
            value=f"{result.share:.1%}" if result.bound else "no bound",
            note=f"{seen.seconds:.1f} s, bound {result.bound:.1f} s"
            if result.bound
            else "the quota holds them at once",
            budget=f">= {share:.0%}",
            kept=result.share >= share if result.bound else None,
        ),
        Figure(
            part=model,
            name="calls answered 429",
            value=f"{seen.throttled_share:.2%}",
            note=f"{seen.refused} of {len(seen.accepted) + seen.refused}",
            budget=f"<= {refused:.1%}",
            kept=at_most(seen.throttled_share, refused),
        ),
        Figure(
            part=model,
            name="calls before a Retry-After had passed",
            value=str(traffic.early_calls),
            note=f"tenant's own count, calls under way included: {result.violations}, by {result.late:.2f} s at most",
            budget="0",
            kept=traffic.early_calls == 0,
        ),
        Figure(
            part=model,
            name="Graph calls per user",
            value=f"{traffic.graph / users:.3f}",
            note=f"revoke calls {(len(seen.accepted) + seen.refused) / users:.3f}",
        ),
        Figure(
            part=model,
            name="storage transactions per user",
            value=f"{transactions:.3f}",
            note=f"idle polls apart: {traffic.idle}",
            budget=f"<= {_TRANSACTIONS}",
            kept=at_most(transactions, _TRANSACTIONS),
        ),
        Figure(part=model, name="peak memory of a host", value=f"{result.memory:.0f} MB"),
    ]
