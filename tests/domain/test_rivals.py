"""Many instances over one row, played in virtual time by ``tests/support/rivals_simulation.py``."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from rivals_simulation import Traffic, simulate_rivals


@cache
def played(instances: int, *, seeds: int = 2, **story: Any) -> list[Traffic]:
    return [simulate_rivals(instances, seed=seed, **story) for seed in range(seeds)]


def test_an_instance_alone_needs_one_write_for_a_block_and_a_look_for_each_further_call() -> None:
    """The write proves that its copy of the gates is current, and pays the first of three calls at once."""
    for seen in played(1, seeds=3):
        assert seen.writes_per_block == pytest.approx(1, abs=0.02)
        assert seen.per_block <= 3
        assert 0.97 <= seen.share_of_bound <= 1


@pytest.mark.parametrize(("instances", "most_times"), [(2, 1.5), (4, 1.75), (8, 2), (40, 3.5)])
def test_what_a_block_costs_in_storage_hardly_grows_with_the_instances(instances: int, most_times: float) -> None:
    """Rivals queue up in the row instead of racing for each refill; all have their share, and no token stays unspent.

    Operations that take tokens, and all of them with the looks at the gates, in multiples of what one instance needs.
    """
    for alone, seen in zip(played(1, seeds=3), played(instances, seeds=3), strict=True):
        assert seen.writes_per_block <= most_times * alone.writes_per_block
        assert seen.per_block <= min(most_times, 2.5) * alone.per_block
        assert 0.97 <= seen.share_of_bound <= 1
        assert seen.refused == 0
        fair = seen.total / instances
        assert 0.7 * fair <= min(seen.admitted.values())
        assert max(seen.admitted.values()) <= 1.5 * fair


@pytest.mark.parametrize("instances", [8, 40])
def test_once_the_burst_is_over_no_instance_meets_another(instances: int) -> None:
    """Each comes back when its own block is spent: one write for a block, whatever the number."""
    burst, longer = (simulate_rivals(instances, seed=1, seconds=seconds) for seconds in (60, 600))
    blocks = (longer.total - burst.total) / 60
    assert (longer.operations - burst.operations)["write"] == pytest.approx(blocks, abs=1)
    assert longer.operations["lost"] == burst.operations["lost"]


def test_ten_thousand_users_over_eight_hosts_keep_the_bound() -> None:
    """Each host has a request; what ends leaves little of its last block unspent."""
    for seen in played(8, items=1250, seconds=2000):
        assert seen.total == 10_000
        assert seen.share_of_bound >= 0.97
        assert seen.refused_share <= 0.005
        assert seen.operations.total() <= 0.08 * seen.total


@pytest.mark.parametrize("instances", [1, 8, 40])
def test_clocks_that_differ_by_two_seconds_cost_nothing(instances: int) -> None:
    """Not the rate, not a 429, and no host its share."""
    for seen in played(instances, clocks_apart=2.0):
        assert seen.share_of_bound >= 0.97
        assert seen.refused_share <= 0.005
        assert min(seen.admitted.values()) >= 0.7 * seen.total / instances


@pytest.mark.parametrize("instances", [1, 8, 40])
def test_a_small_request_passes_every_line(instances: int) -> None:
    """Three a second, on any host: a call within a second, while large requests use up the rate."""
    for seen in played(instances, small_every=0.3, seconds=200):
        assert len(seen.small_waits) > 500
        assert max(seen.small_waits) < 1
        assert seen.share_of_bound >= 0.97
        assert seen.refused_share <= 0.005


def test_a_host_that_dies_costs_its_block_and_no_more() -> None:
    """Four of eight die: the others have its share from then on, after three seconds for each dead one's block."""
    for whole, seen in zip(played(8, seeds=3), played(8, seeds=2, deaths=(200, 210, 220, 230)), strict=False):
        assert whole.total - seen.total <= 4 * 60


@pytest.mark.parametrize("instances", [1, 8, 40])
def test_a_gate_is_kept_by_all_and_the_line_goes_on_behind_it(instances: int) -> None:
    """Ten seconds of Retry-After: no call leaves one second later, and nobody races for the moment it opens."""
    for whole, seen in zip(played(instances, seeds=3), played(instances, hiccups=(300.0,)), strict=False):
        assert seen.sent_in_gate == 0
        assert 0 < seen.refused <= 60
        assert whole.total - seen.total <= 12 * 20
        assert seen.operations["lost"] <= whole.operations["lost"] + 2 * instances
