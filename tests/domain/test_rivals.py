import pytest
from rivals_simulation import simulate_rivals


@pytest.mark.parametrize(("instances", "most_calls"), [(1, 2), (2, 4), (4, 8), (8, 15), (40, 75)])
def test_what_a_block_costs_in_storage_grows_with_the_instances_and_the_rate_stays(
    instances: int, most_calls: float
) -> None:
    """Instances that wake for the same block race for it: about 1.7 storage calls each, and no token stays unspent."""
    for seed in range(3):
        traffic = simulate_rivals(instances, seed=seed)
        assert traffic.calls_per_block <= most_calls
        assert 0.97 <= traffic.share_of_bound <= 1
