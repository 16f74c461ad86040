"""Many runs: which points with which seeds, on one or several stages side by side."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.chaos.points import NAMED, POINTS, Point
from local.chaos.run import Outcome, Person, Plan, Run
from local.chaos.truth import PROTECTED
from local.rig.stage import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from local.rig.stage import Stage

# No quota stands in the way of a run, in the tenant nor in the app: what is tested is dying, not pacing.
_TENANT: Final = '{"quota": {"model": "none"}, "resourceUnitsPer10s": 1000000000, "latencyMs": 30}'
_SETTINGS: Final = {"GRAPH_WRITES_PER_150S": "1000000", "PROTECTED_USERS": PROTECTED}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What to run. ``lanes`` stages work side by side: a run mostly waits for the lease of the host that died."""

    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    users: int
    lanes: int

    def runs(self) -> list[tuple[Point, int]]:
        """Every point with every seed, the points taken in turn."""
        return [
            (point, seed)
            for place, seed in enumerate(self.seeds)
            for point in self.points
            if place < math.ceil(len(self.seeds) * point.share_of_seeds) and self.users >= point.least_users
        ]

    def largest(self) -> int:
        """Users that the runs of one lane can need at most, the undisturbed one included."""
        return self.users + sum(self.users * point.times_users for point, _ in self.runs())


async def carried_out(campaign: Campaign, tell: Callable[[Outcome, float], None]) -> list[Outcome]:
    """All outcomes; ``tell`` hears of each as it comes, with the seconds it took."""
    waiting = iter(campaign.runs())
    lanes = min(campaign.lanes, len(campaign.runs()))
    done = await asyncio.gather(*(_lane(campaign, waiting, tell) for _ in range(lanes)))
    return list(itertools.chain.from_iterable(done))


async def _lane(
    campaign: Campaign, waiting: Iterator[tuple[Point, int]], tell: Callable[[Outcome, float], None]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    async with stage(users=campaign.largest(), config=_TENANT, settings=_SETTINGS) as running:
        people, protected = await _people(running)
        work = 0
        for point, seed in itertools.chain([(NAMED["none"], 0)], waiting):
            count = campaign.users * point.times_users
            plan = Plan(
                point=point,
                seed=seed,
                people=tuple(itertools.islice(people, count)),
                protected=protected,
                strikes=tuple(point.planned(seed, count, work)),
            )
            begun = time.monotonic()
            outcome = await Run(stage=running, plan=plan).carried_out()
            work = work or outcome.work
            outcomes.append(outcome)
            tell(outcome, time.monotonic() - begun)
        await _judged_again(outcomes)
    return outcomes


async def _people(running: Stage) -> tuple[Iterator[Person], Person]:
    """The bulk users, each for one run only, and the protected one."""
    known = [Person(id=user["id"], upn=user["userPrincipalName"]) for user in await running.sim("users")]
    protected = next(person for person in known if person.upn == PROTECTED)
    return (person for person in known if person.upn.startswith("user")), protected


async def _judged_again(outcomes: Sequence[Outcome]) -> None:
    """When everything is over, every run once more: nobody may have come back to an old one."""
    for outcome in outcomes:
        late = await outcome.truth.judge(kills=outcome.kills)
        outcome.faults += [f"later: {fault}" for fault in late.faults if fault not in outcome.faults]


def chosen(names: Sequence[str]) -> tuple[Point, ...]:
    """The points of these names, or every one; ``ValueError`` names what is unknown."""
    unknown = [name for name in names if name not in NAMED]
    if unknown:
        raise ValueError(f"there is no point {', '.join(unknown)}; there are {', '.join(NAMED)}")
    return tuple(NAMED[name] for name in names) or tuple(point for point in POINTS if point.deed != "none")
