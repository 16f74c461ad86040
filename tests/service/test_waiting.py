"""How long a worker waits after what Graph could not do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from revoke_core.adapters.pace_board import PaceBoard
from revoke_core.adapters.pace_gates import StoredGates
from revoke_core.domain import problems
from revoke_core.domain.results import Counts
from revoke_core.domain.run import Run
from revoke_core.domain.verdicts import Effect, Verdict
from revoke_core.service.waiting import Pauses

if TYPE_CHECKING:
    from engine import HandSetClock

    from revoke_core.adapters.storage import Storage

FAILED = [Verdict(Effect.AGAIN, problems.GRAPH_UNAVAILABLE)]
DONE = [Verdict(Effect.ACCEPTED)]


@pytest.fixture
def gates(storage: Storage, clock: HandSetClock) -> StoredGates:
    return StoredGates(board=PaceBoard(storage=storage, clock=clock), clock=clock)


@pytest.fixture
def pauses(gates: StoredGates, clock: HandSetClock) -> Pauses:
    return Pauses(run=Run(request_id="none", counts=Counts()), gates=gates, clock=clock)


async def test_pauses_grow_until_something_gets_through(pauses: Pauses, clock: HandSetClock) -> None:
    """1, 2, 4 seconds; then the next failure is a first one again."""
    for number, seconds in enumerate((1, 2, 4), start=1):
        assert (await pauses.after("write", FAILED))["failures"] == number
        assert await pauses.open_from("write") == clock.now() + timedelta(seconds=seconds)
        clock.moment += timedelta(seconds=seconds)
        assert await pauses.open_from("write") is None
    assert await pauses.after("write", DONE) == {"failures": 0, "cause": None}
    assert (await pauses.after("write", FAILED))["failures"] == 1


async def test_pauses_do_not_grow_while_a_part_gets_through(pauses: Pauses, clock: HandSetClock) -> None:
    """Three of twenty refused each time is a Graph that works, not an outage."""
    for _ in range(5):
        await pauses.after("write", FAILED + DONE)
        assert await pauses.open_from("write") == clock.now() + timedelta(seconds=1)
        clock.moment += timedelta(seconds=1)


async def test_calls_that_fail_together_are_one_failure(pauses: Pauses, clock: HandSetClock) -> None:
    """Eight of them are on their way in a burst: a moment's trouble is no reason to wait two minutes."""
    for _ in range(8):
        assert (await pauses.after("write", FAILED))["failures"] == 1
    assert await pauses.open_from("write") == clock.now() + timedelta(seconds=1)


async def test_a_failure_without_a_gate_always_has_a_pause(pauses: Pauses, gates: StoredGates) -> None:
    """The gate may be opened before its time, when a probe gets through: then nothing else keeps the worker waiting."""
    await pauses.after("write", [Verdict(Effect.AGAIN, problems.THROTTLED, timedelta(minutes=20))])
    await gates.reopen("write")
    await pauses.after("write", FAILED)
    assert await pauses.open_from("write")


async def test_reads_that_get_through_do_not_shorten_the_pauses_of_writes(pauses: Pauses, clock: HandSetClock) -> None:
    """Whoever is in doubt is read between two tries: without this, writes that never work go on every second."""
    await pauses.after("write", FAILED)
    assert await pauses.after("read", DONE) == {}
    clock.moment += timedelta(seconds=1)
    assert await pauses.after("write", FAILED) == {"failures": 2, "cause": "graphUnavailable"}
    assert await pauses.open_from("write") == clock.now() + timedelta(seconds=2)


async def test_reads_of_which_a_part_gets_through_do_not_shorten_them_either(
    pauses: Pauses, clock: HandSetClock
) -> None:
    """In a whole outage of writes, reads work more or less: that says nothing about writes."""
    for seconds in (1, 2, 4):
        await pauses.after("write", FAILED)
        assert await pauses.open_from("write") == clock.now() + timedelta(seconds=seconds)
        await pauses.after("read", FAILED + DONE)
        clock.moment += timedelta(seconds=seconds)


async def test_what_stands_in_the_way_of_writes_is_told_until_one_gets_through(pauses: Pauses) -> None:
    """Whoever is never sent fails with that cause after a day, not because a read failed and the next one did not."""
    await pauses.after("write", FAILED)
    await pauses.obstacle("read", problems.NO_TOKEN, None)
    assert await pauses.after("read", DONE) == {"failures": 1, "cause": "graphUnavailable"}
    assert await pauses.after("write", DONE) == {"failures": 0, "cause": None}
