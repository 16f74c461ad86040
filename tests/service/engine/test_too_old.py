from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import counted, stored_run
from steps import ago, begun, person

from revoke_core.domain import problems
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import LIFETIME
from revoke_core.domain.user_state import UserRow, UserStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory


async def test_nobody_is_sent_after_a_day(engine: Engine, directory: Directory) -> None:
    """Open users get the last cause, or that the time is over; unproven ones that they are not proven."""
    rows = [
        person(1),
        person(2, sent_at=ago(minutes=5), attempts=1),
        person(3, status=UserStatus.REVOKED, sent_at=ago(minutes=5)),
    ]
    for cause, code in ((None, "expired"), ("throttled", "throttled")):
        record, _ = await begun(engine, rows, age=LIFETIME, blocked_by=cause)
        final = await engine.resume(record.id)
        after = await engine.log.all_rows(record.id)
        assert [row.problem.code for row in after if row.problem] == [code, code, "unverified"]
        assert (final.status, final.counts) == (RequestStatus.FAILED, counted(after))
    assert await directory.served() == []


@pytest.mark.parametrize("left", [timedelta(0), timedelta(seconds=1.5)])
@pytest.mark.parametrize("why", [{"cancel_requested": True}, {"abort_reason": problems.IDEMPOTENCY_CONFLICT}])
async def test_a_request_ends_after_a_day_although_nobody_can_be_read(
    engine: Engine, directory: Directory, why: dict[str, Any], left: timedelta
) -> None:
    """Whoever was never sent hears why; whoever may have been is not said to have been kept from it."""
    await directory.post("faults", {"match": {}, "times": None, "action": {"status": 503}})
    rows = [
        person(1),
        person(2, sent_at=ago(minutes=5), attempts=1),
        person(3, status=UserStatus.REVOKED, sent_at=ago(minutes=5)),
    ]
    record, _ = await begun(engine, rows, age=LIFETIME - left, blocked_by="graphUnavailable", **why)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    first = "cancelled" if "cancel_requested" in why else "idempotencyConflict"
    assert [row.problem.code for row in after if row.problem] == [first, "graphUnavailable", "unverified"]
    assert final.status is (RequestStatus.CANCELLED if "cancel_requested" in why else RequestStatus.FAILED)
    assert final.counts == counted(after)


@pytest.mark.parametrize(
    ("left", "pause"), [(LIFETIME / 2, timedelta(days=8)), (timedelta(minutes=1), timedelta(minutes=9))]
)
async def test_no_gate_keeps_a_request_longer_than_a_day(engine: Engine, left: timedelta, pause: timedelta) -> None:
    """Whatever pause Graph asks for, one that is probed or one that is waited for, the worker comes back in time."""
    row = person(1, status=UserStatus.REVOKED, sent_at=ago(seconds=5))
    record, _ = await begun(engine, [row], age=LIFETIME - left)
    await engine.gates.close_for("read", pause)
    try:
        await engine.resume(record.id)
    finally:
        await engine.gates.reopen("read")
    run = await stored_run(engine.log, record.id)
    assert run.due_at
    assert run.due_at <= record.requested_at + LIFETIME + timedelta(seconds=1)


async def test_who_was_revoked_without_proof_stays_so_when_time_runs_out(engine: Engine) -> None:
    """Where nothing is read back, revoked is the last word already."""
    rows = [person(1, status=UserStatus.REVOKED, sent_at=ago(minutes=5)), person(2)]
    record, _ = await begun(engine, rows, age=LIFETIME, verifying=False)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [row.status for row in after] == [UserStatus.REVOKED, UserStatus.FAILED]
    assert (final.status, final.counts) == (RequestStatus.PARTIALLY_SUCCEEDED, counted(after))


async def test_a_proof_that_comes_while_time_runs_out_is_counted_once(engine: Engine, directory: Directory) -> None:
    """A read is under way when the day is over: the last word waits for it, and the counts stay the rows."""
    names = [f"late{number}@contoso.com" for number in range(40)]
    found = await directory.people(40, "late")
    for name in names[::2]:
        await directory.move_cut_off(name)
    slow = {"match": {"scope": "envelope"}, "after": 1, "times": 1, "action": {"delayMs": 3_000}}
    await directory.post("faults", slow)
    unproven = {"status": UserStatus.REVOKED, "sent_at": ago(seconds=1.5)}
    rows = [
        UserRow(position=place, given=name, user_id=identity, **unproven)
        for place, (name, identity) in enumerate(zip(names, found, strict=True), start=1)
    ]
    record, _ = await begun(engine, rows, age=LIFETIME - timedelta(seconds=1.2))

    async def until_both_reads_are_over(status: UserStatus) -> None:
        if status is UserStatus.REVOKED and datetime.now(UTC) >= record.requested_at + LIFETIME:
            async with engine.graph.was_read:
                await engine.graph.was_read.wait_for(lambda: engine.graph.read >= set(found))
            # What was read is entered now.
            await asyncio.sleep(0)

    engine.log.after_page = until_both_reads_are_over
    final = await engine.resume(record.id, seconds=60)
    after = await engine.log.all_rows(record.id)
    assert final.counts == counted(after)
    assert [row.status for row in after] == [UserStatus.VERIFIED, UserStatus.FAILED] * 20
