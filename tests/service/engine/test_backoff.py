"""How long a worker waits after Graph failed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import new_unit

from revoke_core.adapters.pacing.gates import StoredGates
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.domain import problems
from revoke_core.domain.responses import Effect, Verdict
from revoke_core.service.engine.backoff import Backoff

if TYPE_CHECKING:
    from engine import HandSetClock, WatchedLog

    from revoke_core.adapters.storage import Storage
    from revoke_core.service.engine.unit_of_work import UnitOfWork

FAILED = [Verdict(Effect.RETRY, problems.GRAPH_UNAVAILABLE)]
DONE = [Verdict(Effect.ACCEPTED)]


@pytest.fixture
def gates(storage: Storage, clock: HandSetClock) -> StoredGates:
    return StoredGates(row=SharedPaceRow(storage=storage, clock=clock), clock=clock)


@pytest.fixture
def unit(log: WatchedLog, clock: HandSetClock) -> UnitOfWork:
    return new_unit(log, clock)


@pytest.fixture
def backoff(unit: UnitOfWork, gates: StoredGates, clock: HandSetClock) -> Backoff:
    return Backoff(unit=unit, gates=gates, clock=clock)


def state(unit: UnitOfWork) -> tuple[int, str | None]:
    """What the run row will say of failures and their cause."""
    return unit.ahead.failures, unit.ahead.blocked_by


async def test_pauses_grow_until_something_gets_through(
    backoff: Backoff, unit: UnitOfWork, clock: HandSetClock
) -> None:
    """1, 2, 4 seconds; then the next failure is a first one again."""
    for number, seconds in enumerate((1, 2, 4), start=1):
        backoff.after("write", FAILED)
        assert unit.ahead.failures == number
        assert await backoff.open_from("write") == clock.now() + timedelta(seconds=seconds)
        clock.moment += timedelta(seconds=seconds)
        assert await backoff.open_from("write") is None
    backoff.after("write", DONE)
    assert state(unit) == (0, None)
    backoff.after("write", FAILED)
    assert unit.ahead.failures == 1


async def test_nobody_pauses_while_a_part_gets_through(backoff: Backoff, unit: UnitOfWork) -> None:
    """Three of twenty that fail each time is a Graph that works: those three wait apart, the others go on."""
    for _ in range(5):
        assert backoff.after("write", FAILED + DONE)
        assert await backoff.open_from("write") is None
    backoff.some_wait(apart=True)
    assert state(unit) == (0, "graphUnavailable")
    backoff.after("write", DONE)
    assert state(unit) == (0, "graphUnavailable")
    backoff.some_wait(apart=False)
    assert state(unit) == (0, None)


async def test_a_call_for_one_of_many_users_pauses_nobody_else(backoff: Backoff) -> None:
    """It is the request's own matter only where that user is the last one."""
    assert backoff.after("write", FAILED, others=True)
    assert await backoff.open_from("write") is None
    assert not backoff.after("write", FAILED)
    assert await backoff.open_from("write")


async def test_a_throttled_part_pauses_the_whole_request(backoff: Backoff, clock: HandSetClock) -> None:
    """Graph asks the app to slow down, however few it refuses, and may name no time; the pause does not grow."""
    for _ in range(5):
        assert not backoff.after("write", [Verdict(Effect.RETRY, problems.THROTTLED), *DONE], others=True)
        assert await backoff.open_from("write") == clock.now() + timedelta(seconds=1)
        clock.moment += timedelta(seconds=1)


async def test_calls_that_fail_together_are_one_failure(
    backoff: Backoff, unit: UnitOfWork, clock: HandSetClock
) -> None:
    """Eight calls are in flight in a burst: one short outage is no reason to pause for two minutes."""
    for _ in range(8):
        backoff.after("write", FAILED)
        assert unit.ahead.failures == 1
    assert await backoff.open_from("write") == clock.now() + timedelta(seconds=1)


async def test_a_failure_without_a_gate_always_has_a_pause(backoff: Backoff, gates: StoredGates) -> None:
    """A probe may open the gate before its time: then only the request's own pause keeps the worker waiting."""
    backoff.after("write", [Verdict(Effect.RETRY, problems.THROTTLED, timedelta(minutes=20))])
    await gates.reopen("write")
    backoff.after("write", FAILED)
    assert await backoff.open_from("write")


async def test_reads_that_get_through_do_not_shorten_the_pauses_of_writes(
    backoff: Backoff, unit: UnitOfWork, clock: HandSetClock
) -> None:
    """Ambiguous users are read between two tries: without this, writes that never work go on every second."""
    backoff.after("write", FAILED)
    backoff.after("read", DONE)
    assert state(unit) == (1, "graphUnavailable")
    clock.moment += timedelta(seconds=1)
    backoff.after("write", FAILED)
    assert state(unit) == (2, "graphUnavailable")
    assert await backoff.open_from("write") == clock.now() + timedelta(seconds=2)


async def test_reads_of_which_a_part_gets_through_do_not_shorten_them_either(
    backoff: Backoff, clock: HandSetClock
) -> None:
    """In a whole outage of writes, reads work more or less: that says nothing about writes."""
    for seconds in (1, 2, 4):
        backoff.after("write", FAILED)
        assert await backoff.open_from("write") == clock.now() + timedelta(seconds=seconds)
        backoff.after("read", FAILED + DONE)
        clock.moment += timedelta(seconds=seconds)


async def test_what_blocks_writes_is_kept_until_one_gets_through(backoff: Backoff, unit: UnitOfWork) -> None:
    """Users who are never sent fail with that cause after a day, not with that of a read that failed once."""
    backoff.after("write", FAILED)
    backoff.blocked("read", problems.NO_TOKEN)
    backoff.after("read", DONE)
    assert state(unit) == (1, "graphUnavailable")
    backoff.after("write", DONE)
    assert state(unit) == (0, None)
