"""The write budget that several instances share, against Azurite."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pace_site import QUOTA, MovableClock, Site, drained

from revoke_core.domain.lanes import Lane

if TYPE_CHECKING:
    from storage_log import StorageLog

    from revoke_core.ports.shared import GateKind


@pytest.mark.parametrize("lane", Lane)
async def test_concurrent_takers_never_get_more_than_the_bucket_holds(site: Site, lane: Lane) -> None:
    """Four takers on each of three instances drain one bucket: its content and what refills meanwhile, no more."""
    quota = 900
    instances = [site.instance(quota) for _ in range(3)]
    began = time.monotonic()
    totals = await asyncio.gather(*(drained(instance, lane=lane) for instance in instances * 4))
    seconds = time.monotonic() - began
    reserve = {Lane.SMALL: 0, Lane.BEYOND_SHARE: 45, Lane.LARGE: 90}[lane]
    assert sum(totals) <= quota - reserve + seconds * quota / 150
    assert sum(totals) >= quota - reserve - 18


async def test_the_last_hundred_are_kept_for_small_requests(site: Site) -> None:
    """A large request that has drained its part leaves a one-user request its token, on any instance."""
    large, other = site.instance(), site.instance()
    await drained(large)
    assert await other.budget.take(20, lane=Lane.LARGE) == 0
    assert await other.budget.take(1, lane=Lane.SMALL) == 1
    assert await large.budget.take(20, lane=Lane.SMALL) == 20


async def test_a_block_is_spent_from_memory(site: Site, requests: StorageLog) -> None:
    """The first taker reads and writes once; the next ones ask no storage."""
    here = site.instance()
    assert await here.budget.take(1, lane=Lane.SMALL) == 1
    assert requests.count == 2
    assert [await here.budget.take(20, lane=lane) for lane in (Lane.SMALL, Lane.LARGE)] == [20, 20]
    assert requests.count == 2


async def test_taking_a_block_refreshes_the_gates(site: Site, requests: StorageLog) -> None:
    """A write under the last ETag proves that the copy was current, so no separate read is needed."""
    here = site.instance()
    await here.gates.closed_until("write")
    site.clock.skip(1)
    requests.forget()
    await here.budget.prefetch(20, lane=Lane.LARGE)
    assert [await here.gates.closed_until("write"), await here.gates.closed_until("read")] == [None, None]
    assert await here.budget.take(20, lane=Lane.LARGE) == 20
    assert requests.count == 1


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kind", ["read", "write"])
async def test_no_gate_hides_behind_a_block(site: Site, kind: GateKind, *, is_first: bool) -> None:
    """An instance that takes a block finds a gate that another one has closed, and keeps it."""
    here, there = site.instance(), site.instance()
    if not is_first:
        await site.instance().budget.prefetch(20, lane=Lane.LARGE)
    await there.gates.closed_until(kind)
    await here.gates.close_for(kind, timedelta(seconds=30))
    await there.budget.prefetch(20, lane=Lane.LARGE)
    assert await there.gates.closed_until(kind) is not None
    third = site.instance()
    assert await third.gates.closed_until(kind) == await here.gates.closed_until(kind)


async def test_no_block_is_taken_that_a_closed_gate_would_outlast(site: Site) -> None:
    """An outage of minutes closes the gate and leaves the bucket full for the time after it."""
    here, other = site.instance(), site.instance()
    await here.gates.close_for("write", timedelta(seconds=30))
    for _ in range(3):
        await here.budget.prefetch(20, lane=Lane.LARGE)
        assert await here.budget.take(20, lane=Lane.SMALL) == 0
        site.clock.skip(9)
    site.clock.skip(4)
    assert await other.gates.closed_until("write") is None
    assert await drained(other) >= QUOTA - 160


async def test_callers_that_come_together_share_one_block(site: Site, requests: StorageLog) -> None:
    """Three batches leave at once, and one of them has asked storage."""
    here = site.instance()
    assert await asyncio.gather(*(here.budget.take(20, lane=Lane.LARGE) for _ in range(3))) == [20] * 3
    assert requests.count == 2


async def test_after_reading_the_gates_a_small_request_waits_for_one_write(site: Site, requests: StorageLog) -> None:
    """Gates and budget are one query."""
    here = site.instance()
    await here.gates.closed_until("write")
    assert requests.count == 1
    await here.budget.take(1, lane=Lane.SMALL)
    assert requests.count == 2


async def test_a_thousand_tokens_cost_at_most_thirty_transactions(site: Site, requests: StorageLog) -> None:
    """In a burst and, with the clock moved on as a large request waits, at the refill rate."""
    here = site.instance()
    burst = 0
    while burst < 1000:
        burst += await here.budget.take(20, lane=Lane.LARGE)
    assert requests.count <= 30
    await drained(here)
    requests.forget()
    steady = 0
    while steady < 1000:
        wait = here.budget.next_at(20, lane=Lane.LARGE) - site.clock.now()
        site.clock.skip(max(0.0, wait.total_seconds()))
        steady += await here.budget.take(20, lane=Lane.LARGE)
    assert requests.count <= 30


async def test_a_drained_budget_names_the_moment_and_asks_no_storage_before(site: Site, requests: StorageLog) -> None:
    """A taker that comes too early is answered from memory, apart from one read per 0.8 s."""
    here = site.instance()
    await drained(here)
    await here.gates.closed_until("write")
    requests.forget()
    assert [await here.budget.take(20, lane=Lane.LARGE) for _ in range(20)] == [0] * 20
    assert requests.count <= 1
    moment = here.budget.next_at(20, lane=Lane.LARGE)
    assert timedelta(0) < moment - site.clock.now() <= timedelta(seconds=3)
    site.clock.skip((moment - site.clock.now()).total_seconds())
    assert await here.budget.take(20, lane=Lane.LARGE) == 20


async def test_a_block_expires_after_ten_idle_seconds(site: Site, requests: StorageLog) -> None:
    """Its tokens have refilled in the bucket by then; both together would be more than Graph allows."""
    here = site.instance()
    await here.budget.take(1, lane=Lane.SMALL)
    requests.forget()
    site.clock.skip(9)
    assert await here.budget.take(1, lane=Lane.SMALL) == 1
    assert requests.count == 0
    site.clock.skip(11)
    assert await here.budget.take(1, lane=Lane.SMALL) == 1
    assert requests.count >= 1


async def test_a_host_whose_clock_is_behind_has_its_share_at_once(site: Site) -> None:
    """It does not wait until its own clock has come to where another's was when that one took a block."""
    clock = MovableClock()
    clock.skip(5)
    await site.instance(clock=clock).budget.take(20, lane=Lane.LARGE)
    here = site.instance()
    await here.gates.closed_until("write")
    for lane in (Lane.SMALL, Lane.LARGE):
        assert here.budget.next_at(20, lane=lane) <= site.clock.now()
        assert await here.budget.take(20, lane=lane) == 20


async def test_a_block_that_dies_with_its_host_is_refilled(site: Site) -> None:
    """Nothing is stranded: its tokens come back as all others do."""
    lost, other = site.instance(), site.instance()
    await lost.budget.take(1, lane=Lane.SMALL)
    before = await drained(other)
    assert before < QUOTA - 100
    site.clock.skip(150)
    assert await drained(other) >= QUOTA - 160


async def test_tokens_given_back_are_used_first(site: Site, requests: StorageLog) -> None:
    """A call that did not leave costs nothing."""
    here = site.instance()
    taken = await here.budget.take(60, lane=Lane.LARGE)
    requests.forget()
    await here.budget.give_back(taken)
    assert await here.budget.take(60, lane=Lane.LARGE) == taken == 60
    assert requests.count == 0


async def test_a_429_empties_the_bucket_for_every_instance_and_cuts_once(site: Site) -> None:
    """All 429s of one burst have one cause: the rate is cut once, whichever instance meets them."""
    here, there = site.instance(), site.instance()
    await drained(here)
    sent_at, pause = site.clock.now(), timedelta(seconds=10)
    here.budget.was_sent(500)
    there.budget.was_sent(500)
    await asyncio.gather(
        *(instance.gates.close_for("write", pause) for instance in (here, there)),
        *(instance.budget.was_throttled(sent_at=sent_at, pause=pause) for instance in [here, there] * 4),
    )
    assert await here.budget.take(1, lane=Lane.SMALL) == 0
    assert await there.budget.take(1, lane=Lane.SMALL) == 0
    third = site.instance()
    first_bucket = await third.budget.seconds_for(0)
    # From a drained full bucket no cut: what is left of the gate, then 20 a second.
    assert await third.budget.seconds_for(200) - first_bucket == pytest.approx(200 / 20, abs=0.5)
    site.clock.skip(60)
    await drained(there)
    again = site.clock.now()
    await asyncio.gather(*(instance.budget.was_throttled(sent_at=again, pause=pause) for instance in [here, there] * 4))
    site.clock.skip(1)
    estimate = await third.budget.seconds_for(0)
    assert await third.budget.seconds_for(170) - estimate == pytest.approx(170 / 17, abs=0.5)


async def test_an_estimate_waits_for_the_gate_however_long_it_is_closed(site: Site) -> None:
    """A bucket is full again after one period; a gate of an hour is still closed then."""
    here, there = site.instance(), site.instance()
    await here.gates.close_for("write", timedelta(hours=1))
    await here.budget.was_throttled(sent_at=site.clock.now(), pause=timedelta(hours=1))
    assert await there.budget.seconds_for(1) == pytest.approx(3600, abs=5)
    assert await there.budget.seconds_for(2900 + 200) == pytest.approx(3600 + 200 / 20, abs=5)


async def test_a_block_is_worth_nothing_after_a_429(site: Site) -> None:
    """Graph has just shown that the bucket it came from was empty; that holds for every instance's block."""
    here, there = site.instance(), site.instance()
    assert [await instance.budget.take(20, lane=Lane.LARGE) for instance in (here, there)] == [20, 20]
    here.budget.was_sent(500)
    await here.budget.was_throttled(sent_at=site.clock.now(), pause=timedelta(seconds=10))
    assert await here.budget.take(20, lane=Lane.SMALL) == 0
    await here.budget.give_back(20)
    assert await here.budget.take(20, lane=Lane.SMALL) == 0
    site.clock.skip(1)
    await there.gates.closed_until("write")
    assert await there.budget.take(20, lane=Lane.SMALL) == 0


async def test_lone_429s_leave_rate_and_bucket_as_they_were(site: Site) -> None:
    """Six single calls refused far below any quota: every instance still has a whole quota after the gate."""
    here, there = site.instance(), site.instance()
    for _ in range(6):
        assert await here.budget.take(1, lane=Lane.SMALL) == 1
        await here.budget.was_throttled(sent_at=site.clock.now(), pause=timedelta(seconds=1))
        site.clock.skip(2)
    assert await drained(there) >= QUOTA - 300
    assert await there.budget.seconds_for(QUOTA + 100) == pytest.approx((QUOTA + 100) / 20, abs=10)


async def test_what_one_instance_sent_explains_the_429_of_another(site: Site) -> None:
    """The use that explains a 429 is that of all instances: it stands in the shared row."""
    here, there = site.instance(), site.instance()
    here.budget.was_sent(500)
    assert await here.budget.take(1, lane=Lane.SMALL) == 1
    await there.budget.was_throttled(sent_at=site.clock.now(), pause=timedelta(seconds=10))
    assert await there.budget.take(1, lane=Lane.SMALL) == 0


async def test_a_429_takes_its_pause_from_the_gate_that_was_just_closed(site: Site) -> None:
    """A caller that has closed the gate need not pass the pause again."""
    here = site.instance()
    sent_at = site.clock.now()
    await here.gates.close_for("write", timedelta(seconds=30))
    here.budget.was_sent(500)
    await here.budget.was_throttled(sent_at=sent_at)
    assert here.budget.next_at(1, lane=Lane.SMALL) == await here.gates.closed_until("write")


async def test_clean_items_win_the_rate_back_with_the_next_block(site: Site) -> None:
    """It takes no write of its own."""
    here, there = site.instance(), site.instance()
    for _ in range(3):
        site.clock.skip(20)
        await drained(here)
        here.budget.was_clean(500)
        here.budget.was_sent(500)
        await here.budget.was_throttled(sent_at=site.clock.now(), pause=timedelta(seconds=10))
    cut = await there.budget.seconds_for(10_000)
    site.clock.skip(20)
    here.budget.was_clean(2000)
    assert await drained(here) > 0
    assert await there.budget.seconds_for(10_000) < cut * 0.95
