"""Gates that several instances share, against Azurite."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from pace_site import QUOTA, Instance, MovableClock, Site

from revoke_core.domain.errors import Unavailable
from revoke_core.domain.lanes import Lane

UNREACHABLE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;TableEndpoint=http://127.0.0.1:1/devstoreaccount1"
)


async def test_a_gate_closes_here_at_once_and_elsewhere_within_a_second(site: Site) -> None:
    """The other instance has read the row a moment before, and still sees the gate in time."""
    here, there = site.instance(), site.instance()
    assert await there.gates.closed_until("write") is None
    closing = asyncio.create_task(here.gates.close_for("write", timedelta(seconds=30)))
    await asyncio.sleep(0)
    closed_at = time.monotonic()
    assert await here.gates.closed_until("write") is not None
    await closing
    while await there.gates.closed_until("write") is None:
        assert time.monotonic() - closed_at < 1
    assert time.monotonic() - closed_at < 1
    assert await there.gates.closed_until("write") == await here.gates.closed_until("write")
    assert await there.gates.closed_until("read") is None


async def test_no_gate_opens_a_fraction_too_early(site: Site) -> None:
    """What is stored is never before what Graph asked for."""
    here, there = site.instance(), site.instance()
    before = site.clock.now()
    await here.gates.close_for("read", timedelta(seconds=30))
    until = await there.gates.closed_until("read")
    assert until is not None
    assert until >= before + timedelta(seconds=30)


async def test_of_two_ends_the_later_one_counts(site: Site) -> None:
    """Whichever instance comes first, and whatever order the two arrive in."""
    here, there = site.instance(), site.instance()
    backoff = [timedelta(seconds=seconds) for seconds in (40, 90, 20, 60)]
    before = site.clock.now()
    await asyncio.gather(
        *(instance.gates.close_for("write", pause) for instance, pause in zip([here, there] * 2, backoff, strict=True))
    )
    await there.gates.close_for("write", timedelta(seconds=10))
    third = site.instance()
    until = await third.gates.closed_until("write")
    assert until is not None
    assert timedelta(seconds=90) <= until - before < timedelta(seconds=95)


async def test_a_gate_opens_when_its_time_has_come(site: Site) -> None:
    """Neither instance needs a message."""
    here, there = site.instance(), site.instance()
    await here.gates.close_for("write", timedelta(seconds=30))
    site.clock.skip(31)
    assert await here.gates.closed_until("write") is None
    assert await there.gates.closed_until("write") is None


async def test_a_long_gate_is_probed_by_one_of_all_instances_every_ten_minutes(site: Site) -> None:
    """An hour's pause may be over earlier; to find out, one item is enough."""
    instances = [site.instance() for _ in range(4)]
    await instances[0].gates.close_for("write", timedelta(hours=1))

    async def probes() -> int:
        askers = [instance.gates.may_probe("write") for instance in instances * 3]
        return sum(await asyncio.gather(*askers))

    assert await probes() == 0
    for _ in range(2):
        site.clock.skip(601)
        assert await instances[1].gates.closed_until("write") is not None
        assert await probes() == 1
        assert await probes() == 0


async def test_a_gate_of_ten_minutes_is_waited_for(site: Site) -> None:
    """Up to that, the app waits as long as Graph asks."""
    here = site.instance()
    await here.gates.close_for("write", timedelta(minutes=10))
    site.clock.skip(599)
    assert await here.gates.closed_until("write") is not None
    assert not await here.gates.may_probe("write")


async def test_a_probe_that_gets_through_opens_the_gate_everywhere(site: Site) -> None:
    """Also on the instance that Graph asked to wait."""
    here, there = site.instance(), site.instance()
    await here.gates.close_for("write", timedelta(hours=1))
    assert await there.gates.closed_until("write") is not None
    await there.gates.reopen("write")
    assert await there.gates.closed_until("write") is None
    site.clock.skip(0.8)
    assert await here.gates.closed_until("write") is None


async def test_a_gate_that_could_not_be_stored_is_stored_at_the_next_read(site: Site) -> None:
    """Storage fails for a moment just when Graph asks to wait: the gate still has to reach the other instances."""
    here, there = Instance(UNREACHABLE, site.clock, QUOTA), site.instance()
    with pytest.raises(Unavailable):
        await here.gates.close_for("write", timedelta(minutes=20))
    await here.storage.close()
    here.storage._settings = there.storage._settings
    here.storage._tables.clear()
    site.instances.append(here)
    until = await here.gates.closed_until("write")
    assert until is not None
    assert await there.gates.closed_until("write") == until
    site.clock.skip(601)
    assert await there.gates.may_probe("write")
    await there.gates.reopen("write")
    site.clock.skip(0.8)
    assert await here.gates.closed_until("write") is None


async def test_a_gate_is_seen_on_a_host_whose_clock_was_set_back(site: Site) -> None:
    """Its last read seems to lie in the future, which is no reason to read nothing until then."""
    clock = MovableClock()
    here, there = site.instance(), site.instance(clock=clock)
    assert await there.gates.closed_until("write") is None
    clock.skip(-20)
    await here.gates.close_for("write", timedelta(seconds=60))
    assert await there.gates.closed_until("write") is not None


async def test_storage_that_is_down_is_unavailable() -> None:
    """``Unavailable`` as everywhere else, and the gate still counts here."""
    alone = Instance(UNREACHABLE, MovableClock(), QUOTA)
    with pytest.raises(Unavailable):
        await alone.budget.take(1, lane=Lane.SMALL)
    with pytest.raises(Unavailable):
        await alone.gates.close_for("write", timedelta(seconds=30))
    assert alone.gates._closed("write") is not None
    await alone.storage.close()
