"""Many runs: which fault points with which seeds, in one or several test environments side by side."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.chaos.ground_truth import PROTECTED
from local.chaos.points import NAMED, POINTS, FaultPoint
from local.chaos.run import Outcome, Person, Plan, Run
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.testbed.environment import Environment

# Neither the tenant nor the app limits writes: a run tests crashes, not pacing.
_TENANT: Final = '{"quota": {"model": "none"}, "resourceUnitsPer10s": 1000000000, "latencyMs": 30}'
# A stop that lets everything end would show nothing: the platform's default strategy ends what runs.
_SETTINGS: Final = {"GRAPH_WRITES_PER_150S": "1000000", "PROTECTED_USERS": PROTECTED, "LOCAL_DRAIN_SECONDS": "0"}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What to run. ``lanes`` test environments work side by side: a run mostly waits for the dead host's lease.

    Everything is run once for each of the ``lags``: so many seconds the tenant's cut-off takes to show.
    """

    points: tuple[FaultPoint, ...]
    seeds: tuple[int, ...]
    users: int
    lanes: int
    lags: tuple[float, ...] = (0,)

    def runs(self) -> list[tuple[FaultPoint, int, float]]:
        """Every point with every seed and every lag, the points taken in turn."""
        return [
            (point, seed, lag)
            for lag in self.lags
            for index, seed in enumerate(self.seeds)
            for point in self.points
            if index < math.ceil(len(self.seeds) * point.share_of_seeds) and self.users >= point.least_users
        ]

    def largest(self) -> int:
        """Users that the runs of one lane can need at most, the undisturbed one included."""
        return self.users + sum(self.users * point.times_users for point, *_ in self.runs())


async def run_campaign(campaign: Campaign, report: Callable[[Outcome, float], None]) -> list[Outcome]:
    """All outcomes; ``report`` is called with each as it comes, and with the seconds it took."""
    waiting = iter(campaign.runs())
    lanes = min(campaign.lanes, len(campaign.runs()))
    done = await asyncio.gather(*(_lane(campaign, waiting, report) for _ in range(lanes)))
    return list(itertools.chain.from_iterable(done))


async def _lane(
    campaign: Campaign, waiting: Iterator[tuple[FaultPoint, int, float]], report: Callable[[Outcome, float], None]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    async with running_environment(users=campaign.largest(), config=_TENANT, settings=_SETTINGS) as running:
        people, protected = await _split_people(running)
        work = 0
        for point, seed, lag in itertools.chain([(NAMED["none"], 0, 0)], waiting):
            count = campaign.users * point.times_users
            plan = Plan(
                point=point,
                seed=seed,
                lag=lag,
                people=tuple(itertools.islice(people, count)),
                protected=protected,
                faults=tuple(point.plan_faults(seed, count, work)),
            )
            begun = time.monotonic()
            outcome = await Run(environment=running, plan=plan).execute()
            work = work or outcome.work
            outcomes.append(outcome)
            report(outcome, time.monotonic() - begun)
        await _check_again(outcomes)
    return outcomes


async def _split_people(running: Environment) -> tuple[Iterator[Person], Person]:
    """The bulk users, each for one run only, and the protected one."""
    known = [Person(id=user["id"], upn=user["userPrincipalName"]) for user in await running.sim("users")]
    protected = next(person for person in known if person.upn == PROTECTED)
    return (person for person in known if person.upn.startswith("user")), protected


async def _check_again(outcomes: Sequence[Outcome]) -> None:
    """Check every run once more at the end: no host may have worked on an ended request."""
    for outcome in outcomes:
        late = await outcome.truth.check(kills=outcome.kills, lag=outcome.plan.lag)
        outcome.faults += [f"later: {fault}" for fault in late.faults if fault not in outcome.faults]


def select_points(names: Sequence[str]) -> tuple[FaultPoint, ...]:
    """The points of these names, or every one; ``ValueError`` names what is unknown."""
    unknown = [name for name in names if name not in NAMED]
    if unknown:
        raise ValueError(f"--points: there is no point {', '.join(unknown)}; there are {', '.join(NAMED)}")
    return tuple(NAMED[name] for name in names) or tuple(point for point in POINTS if point.kind != "none")
