from typing import TYPE_CHECKING

import pytest

from local.chaos.campaign import Campaign, run_campaign, select_points
from local.chaos.cli import SLICE, main
from local.chaos.points import NAMED, POINTS, FaultPoint
from local.chaos.report import table
from local.testbed import exchanges

if TYPE_CHECKING:
    from local.chaos.run import Outcome


def test_the_same_seed_plans_the_same_faults() -> None:
    """A failed run can be repeated, and another seed is another run."""
    point = NAMED["random"]
    assert point.plan_faults(7, 200, 100) == point.plan_faults(7, 200, 100)
    assert len({(fault.nth, fault.phase) for seed in range(20) for fault in point.plan_faults(seed, 200, 100)}) > 5


def test_every_point_is_in_a_full_campaign() -> None:
    """Nothing is left out silently; a point that needs more users has fewer runs."""
    campaign = Campaign(points=select_points([]), seeds=tuple(range(1, 21)), users=200, lanes=1)
    runs = [point.name for point, *_ in campaign.runs()]
    assert {name: runs.count(name) for name in set(runs)} == {
        point.name: 2 if point.name == "five" else 20 for point in POINTS if point.name != "none"
    }


def test_every_lag_is_run_with_every_seed() -> None:
    """Replication of the cut-off is an axis of its own, and a run says how far it lagged."""
    campaign = Campaign(points=select_points(["sent"]), seeds=(1, 2), users=60, lanes=1, lags=(0, 90))
    assert [(seed, lag) for _, seed, lag in campaign.runs()] == [(1, 0), (2, 0), (1, 90), (2, 90)]


@pytest.mark.parametrize("text", ["", "x", "20,", "-1"])
def test_a_lag_that_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error does not end in a campaign without lag."""
    assert main(["--lag", text]) == 2
    assert "--lag" in capsys.readouterr().err


def test_an_unknown_point_is_refused() -> None:
    """A typing error does not end in a campaign of nothing."""
    assert main(["--points", "arrived,nowhere"]) == 2


NEVER = FaultPoint(
    name="never",
    description="an exchange that does not come",
    kind="kill",
    matches=exchanges.is_revoke_call,
    phase="after",
    nth=lambda _chance, _users, _work: 10_000,
)


async def test_a_slice_of_the_campaign_keeps_every_promise() -> None:
    """Killed before anything is stored and after a work message, and stopped: no user is lost, none is revoked twice.

    A run whose planned fault never took place has failed: it would have proven nothing.
    """
    reported: list[Outcome] = []
    campaign = Campaign(points=(*select_points(SLICE), NEVER), seeds=(1,), users=60, lanes=1)
    outcomes = await run_campaign(campaign, lambda outcome, _: reported.append(outcome))
    assert [fault for outcome in outcomes[:-1] for fault in outcome.faults] == []
    assert [outcome.fired for outcome in outcomes] == [0, 1, 1, 1, 0]
    assert outcomes[-1].faults == ["the planned fault never took place (exchange 10000, after)"]
    assert reported == outcomes
    assert table(outcomes)[-1][:6] == ("all", "5", "3", "300", "0", "0")
    assert table(outcomes)[-1][-1] == "1"
