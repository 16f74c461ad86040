from typing import TYPE_CHECKING

from local.chaos.campaign import Campaign, carried_out, chosen
from local.chaos.cli import SLICE, main
from local.chaos.points import NAMED, POINTS, Point
from local.chaos.report import table
from local.rig import wire

if TYPE_CHECKING:
    from local.chaos.run import Outcome


def test_the_same_seed_plans_the_same_strikes() -> None:
    """A failed run can be repeated, and another seed is another run."""
    point = NAMED["random"]
    assert point.planned(7, 200, 100) == point.planned(7, 200, 100)
    assert len({(strike.nth, strike.when) for seed in range(20) for strike in point.planned(seed, 200, 100)}) > 5


def test_every_point_is_in_a_full_campaign() -> None:
    """Nothing is left out silently; what needs more users says so by its number of runs."""
    campaign = Campaign(points=chosen([]), seeds=tuple(range(1, 21)), users=200, lanes=1)
    runs = [point.name for point, _ in campaign.runs()]
    assert {name: runs.count(name) for name in set(runs)} == {
        point.name: 2 if point.name == "five" else 20 for point in POINTS if point.name != "none"
    }


def test_an_unknown_point_is_refused() -> None:
    """A typing error does not end in a campaign of nothing."""
    assert main(["--points", "claim,nowhere"]) == 2


NEVER = Point(
    name="never",
    says="an exchange that does not come",
    deed="kill",
    matches=wire.sends,
    when="after",
    nth=lambda _chance, _users, _work: 10_000,
)


async def test_a_slice_of_the_campaign_keeps_every_promise() -> None:
    """Host killed after the claim, killed after handing over, stopped: nobody lost, nobody hit twice.

    A fault that was planned and never struck is a failed run: it would have proven nothing.
    """
    told: list[Outcome] = []
    campaign = Campaign(points=(*chosen(SLICE), NEVER), seeds=(1,), users=60, lanes=1)
    outcomes = await carried_out(campaign, lambda outcome, _: told.append(outcome))
    assert [fault for outcome in outcomes[:-1] for fault in outcome.faults] == []
    assert [outcome.fired for outcome in outcomes] == [0, 1, 1, 1, 0]
    assert outcomes[-1].faults == ["the planned fault never struck (exchange 10000, after)"]
    assert told == outcomes
    assert table(outcomes)[-1][:6] == ("all", "5", "3", "300", "0", "0")
    assert table(outcomes)[-1][-1] == "1"
