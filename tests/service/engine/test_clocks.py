"""Hosts whose clocks differ, from each other's and from Graph's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from steps import NAMES, ago, begun, person

from local.simulator.directory import object_id
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import CLOCK_SKEW, LEASE
from revoke_core.domain.user_state import UserStatus

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.adapters.graph.transport import Reply


async def test_a_host_whose_clock_is_ahead_takes_no_read_for_the_last(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """What it reads first tells it Graph's time; the call in doubt was sent a few seconds ago by that."""
    engine, clock = still
    record, _ = await begun(engine, [person(1, sent_at=ago(seconds=3), attempts=1)])
    clock.jump(minutes=3)
    await engine.resume(record.id, max_idle=10)
    (row,) = await engine.log.all_rows(record.id)
    assert row.sent_at
    assert await directory.served() == []


async def test_a_host_that_has_heard_nothing_from_graph_does_not_wait_for_its_own_clock(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Graph's may be minutes ahead: by this one the call in doubt is yet to be sent, until an answer tells better."""
    engine, clock = still
    record, _ = await begun(engine, [person(1, sent_at=ago(seconds=50), attempts=1)])
    await directory.move_cut_off(object_id(NAMES[0]))
    clock.jump(minutes=-5)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert await directory.served() == []


@pytest.mark.parametrize("seconds", [180, -180])
async def test_the_first_call_of_a_host_whose_clock_is_wrong_is_proven(
    still: tuple[Engine, JumpingClock], directory: Directory, seconds: int
) -> None:
    """Its own answer is the first to tell Graph's time: by that it was sent, and the proof is held against it."""
    engine, clock = still
    record, _ = await begun(engine, [person(1)])
    clock.jump(seconds=seconds)
    final = await engine.resume(record.id)
    (row,) = await engine.log.all_rows(record.id)
    assert (final.status, row.status) == (RequestStatus.SUCCEEDED, UserStatus.VERIFIED)
    assert row.sent_at
    assert abs(row.sent_at - datetime.now(UTC)) < timedelta(seconds=15)
    assert len(await directory.served()) == 1


@pytest.mark.parametrize("late", ["asking", "answering"])
async def test_a_slow_answer_is_not_taken_for_a_wrong_clock(
    still: tuple[Engine, JumpingClock], directory: Directory, late: str
) -> None:
    """Else the next users would seem to be sent later than they were revoked, or long before."""
    engine, clock = still
    record, _ = await begun(engine, [person(1)])
    get_token, reply = engine.identity.get_token, engine.transport._reply

    async def asking(*scopes: str, **options: Any) -> AccessToken:
        clock.jump(seconds=20)
        return await get_token(*scopes, **options)

    def storage_errors(response: Any, asked_at: datetime) -> Reply:
        clock.jump(seconds=20)
        return reply(response, asked_at)

    if late == "asking":
        clock.jump(seconds=-20)
        engine.identity.get_token = asking  # type: ignore[method-assign] -- the real one, twenty seconds later
    else:
        engine.transport._reply = storage_errors  # type: ignore[method-assign] -- as above
    await engine.graph.read_users([UserRef(given="", text=object_id(NAMES[1]), is_id=True)])
    assert abs(engine.graph.time() - clock.now()) < timedelta(seconds=2)
    clock.ahead = timedelta(0)
    engine.identity.get_token, engine.transport._reply = get_token, reply  # type: ignore[method-assign] -- as they were
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert await directory.served() == [object_id(NAMES[0])]


async def test_a_message_is_on_time_on_a_host_whose_clock_is_behind(still: tuple[Engine, JumpingClock]) -> None:
    """Nobody sends another one: without it the request would stand still until the timer finds it."""
    engine, clock = still
    record, run = await begun(engine, [person(1)])
    await engine.log.save_run(replace(run, due_at=datetime.now(UTC)), [])
    clock.jump(seconds=-4)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


async def test_a_lease_that_ends_too_late_is_over(still: tuple[Engine, JumpingClock]) -> None:
    """Its host had a clock two hours ahead, and died: no message waits for its time to come."""
    engine, clock = still
    record, run = await begun(engine, [person(1)])
    within = LEASE + CLOCK_SKEW - timedelta(seconds=2)
    run = await engine.log.save_run(replace(run, owner="ahead", lease_until=clock.now() + within), [])
    assert (await engine.resume(record.id)).status is RequestStatus.RUNNING
    assert record.id in await engine.open_ids(clock.now() + within + timedelta(seconds=1))
    await engine.log.save_run(replace(run, lease_until=clock.now() + timedelta(hours=2)), [])
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
