from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import counted, new_record, same_counts, stored_run
from steps import NAMES, ago, begun, controls, person

from local.simulator.directory import object_id
from revoke_core.domain import problems
from revoke_core.domain.errors import Conflict, LeaseLost
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.results import Counts, RequestRecord, RequestStatus, UserRow, UserStatus
from revoke_core.domain.schedules import HELD_LIFETIME, LEASE, LIFETIME
from revoke_core.ports import Flight, Run
from revoke_core.service.putting_down import PuttingDown
from revoke_core.service.run_in_hand import RunInHand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine import Engine
    from listing import Directory


async def test_whom_a_cancelled_request_has_in_doubt_is_settled_by_reading(
    engine: Engine, directory: Directory
) -> None:
    """By whichever worker: nobody else is sent, and the request ends."""
    rows = [person(1), person(2, sent_at=ago(minutes=5), attempts=1), person(3)]
    record, _ = await begun(engine, rows, cancel_requested=True)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [row.status for row in after] == [UserStatus.SKIPPED] * 3
    assert {row.problem for row in after} == {problems.CANCELLED}
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(after))
    assert await directory.served() == []


async def test_a_doubt_that_turns_out_well_is_no_cancelled_user(engine: Engine, directory: Directory) -> None:
    """The call had reached Graph: the log says so, although the request was cancelled."""
    await directory.move_cut_off(NAMES[1])
    rows = [person(1), person(2, sent_at=ago(seconds=3), attempts=1)]
    record, _ = await begun(engine, rows, cancel_requested=True)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [row.status for row in after] == [UserStatus.SKIPPED, UserStatus.VERIFIED]
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(after))


async def test_a_call_under_way_when_its_worker_died_is_settled_before_the_last_word(
    engine: Engine, directory: Directory
) -> None:
    """The mark in the run row is all there is to tell."""
    await directory.move_cut_off(NAMES[0])
    rows = [person(1), person(2)]
    record, _ = await begun(
        engine, rows, cancel_requested=True, flights=(Flight(positions=(1,), sent_at=ago(seconds=3)),)
    )
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [(row.status, row.attempts) for row in after] == [(UserStatus.VERIFIED, 1), (UserStatus.SKIPPED, 0)]
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(after))


async def test_a_cancelled_request_whose_users_were_all_done_says_what_came_of_it(engine: Engine) -> None:
    """The wish came too late to keep anybody from being revoked."""
    record, _ = await begun(engine, [person(1, status=UserStatus.VERIFIED)], cancel_requested=True)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


@pytest.mark.parametrize("users", [1, 20])
async def test_a_call_that_never_reached_graph_is_made_again_after_two_minutes_of_reading(
    engine: Engine, directory: Directory, users: int
) -> None:
    """Not a moment earlier, for it may still be under way; then once, by itself or as a batch."""
    path = "revokeSignInSessions" if users == 1 else "batch"
    match = {"path": path, "method": "POST"} | ({"scope": "envelope"} if users > 1 else {})
    # The first batch looks the users up.
    await directory.post("faults", {"match": match, "after": int(users > 1), "action": {"drop": "before"}})
    record = new_record(datetime.now(UTC), counts=Counts(total=users, pending=users))
    await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES[:users])))
    await engine.resume(record.id, seconds=7, patience=5)
    assert await directory.served() == []

    run = await stored_run(engine.log, record.id)
    rows = await engine.log.all_rows(record.id)
    assert {(row.status, row.attempts, row.sent_at is None) for row in rows} == {(UserStatus.PENDING, 1, False)}
    # As though it had been sent 118 s ago: the last read is still to come.
    nearly = [replace(row, sent_at=ago(seconds=118)) for row in rows]
    await engine.log.save(replace(run, next_at=None), nearly)
    began = datetime.now(UTC)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert {row.attempts for row in await engine.log.all_rows(record.id)} == {2}
    assert sorted(await directory.served()) == sorted(object_id(name) for name in NAMES[:users])
    sent_at = {row.sent_at for row in await engine.log.all_rows(record.id)}
    assert min(moment for moment in sent_at if moment) > began + timedelta(seconds=1)


async def test_nobody_is_sent_after_a_day(engine: Engine, directory: Directory) -> None:
    """Open users get the last cause, or that the time is over; unproven ones that they are not proven."""
    rows = [
        person(1),
        person(2, sent_at=ago(minutes=5), attempts=1),
        person(3, status=UserStatus.REVOKED, sent_at=ago(minutes=5)),
    ]
    for cause, code in ((None, "expired"), ("throttled", "throttled")):
        record, _ = await begun(engine, rows, age=LIFETIME, cause=cause)
        final = await engine.resume(record.id)
        after = await engine.log.all_rows(record.id)
        assert [row.problem.code for row in after if row.problem] == [code, code, "unverified"]
        assert (final.status, final.counts) == (RequestStatus.FAILED, counted(after))
    assert await directory.served() == []


@pytest.mark.parametrize("left", [timedelta(0), timedelta(seconds=1.5)])
@pytest.mark.parametrize("why", [{"cancel_requested": True}, {"stopped": problems.IDEMPOTENCY_CONFLICT}])
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
    record, _ = await begun(engine, rows, age=LIFETIME - left, cause="graphUnavailable", **why)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    first = "cancelled" if "cancel_requested" in why else "idempotencyConflict"
    assert [row.problem.code for row in after if row.problem] == [first, "graphUnavailable", "unverified"]
    assert final.status is (RequestStatus.CANCELLED if "cancel_requested" in why else RequestStatus.FAILED)
    assert final.counts == counted(after)


async def test_no_gate_keeps_a_request_longer_than_a_day(engine: Engine) -> None:
    """Whatever pause Graph asks for, the worker comes back when time is up."""
    record, _ = await begun(engine, [person(1, status=UserStatus.REVOKED, sent_at=ago(seconds=5))], age=LIFETIME / 2)
    await engine.gates.close_for("read", timedelta(days=8))
    try:
        await engine.resume(record.id)
    finally:
        await engine.gates.reopen("read")
    run = await stored_run(engine.log, record.id)
    assert run.next_at
    assert run.next_at <= record.requested_at + LIFETIME + timedelta(seconds=1)


async def test_who_was_revoked_without_proof_stays_so_when_time_runs_out(engine: Engine) -> None:
    """Where nothing is read back, revoked is the last word already."""
    rows = [person(1, status=UserStatus.REVOKED, sent_at=ago(minutes=5)), person(2)]
    record, _ = await begun(engine, rows, age=LIFETIME, proving=False)
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


async def test_what_stops_a_request_is_told_to_everybody_who_was_not_sent(engine: Engine) -> None:
    """And to nobody else."""
    rows = [person(1), person(2, status=UserStatus.VERIFIED), person(3)]
    record, _ = await begun(engine, rows, stopped=problems.IDEMPOTENCY_CONFLICT)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [row.problem.code if row.problem else None for row in after] == [
        "idempotencyConflict",
        None,
        "idempotencyConflict",
    ]
    assert (final.status, final.counts) == (RequestStatus.PARTIALLY_SUCCEEDED, counted(after))


async def held(engine: Engine, directory: Directory, name: str) -> RequestRecord:
    """A request that waits to be confirmed, as its worker has put it down."""
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    group = await directory.group(name, await directory.people(2, name))
    record = new_record(datetime.now(UTC), counts=Counts())
    await engine.log.create(record, RevocationRequest(groups=(group,)))
    return record


@pytest.mark.parametrize(("age", "word"), [(0, UserStatus.VERIFIED), (40, UserStatus.FAILED)])
async def test_whom_graph_does_not_know_any_more_is_read_again_for_half_a_minute(
    engine: Engine, directory: Directory, age: float, word: UserStatus
) -> None:
    """A replica that lags behind does not undo what Graph has accepted; a user who stays away is not proven."""
    row = person(1, status=UserStatus.REVOKED, sent_at=ago(seconds=age), revoked_at=ago(seconds=age), attempts=1)
    record, _ = await begun(engine, [row])
    await directory.fault(f"^/users/{row.user_id}", times=2, status=404)
    await directory.move_cut_off(row.user_id or "")
    await engine.resume(record.id)
    (found,) = await engine.log.all_rows(record.id)
    assert (found.status, found.problem) == (word, problems.UNVERIFIED if word is UserStatus.FAILED else None)


async def test_a_403_is_judged_by_the_token_that_met_it(engine: Engine, directory: Directory) -> None:
    """The first token was refused as such, and the next one lacks the permission: that is what the users are told."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All", "User.Read.All"])
    record, _ = await begun(engine, [person(place) for place in range(1, 4)])

    async def take_away(run: Run) -> None:
        if run.flights:
            engine.log.before_save = None
            await directory.configure(grantedRoles=["User.Read.All"])
            await directory.post("tokens/forget", {})

    engine.log.before_save = take_away
    await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert {row.problem.code for row in rows if row.problem} == {"appPermissionMissing"}


async def test_a_confirmation_that_meets_the_worker_putting_it_down_is_not_lost(
    engine: Engine, directory: Directory
) -> None:
    """The status says held a moment before the lease is let go; whoever confirms then is heard."""
    record = await held(engine, directory, "early")
    told = []

    async def confirm(run: Run) -> None:
        stored = await engine.log.run(record.id)
        if run.owner == "" and stored and stored.held_at and not told:
            told.append(stored)
            await controls(engine).confirm(record, 2)

    engine.log.before_save = confirm
    await engine.resume(record.id)
    assert told
    run = await stored_run(engine.log, record.id)
    assert run.confirmed_at
    assert run.next_at
    assert run.next_at <= datetime.now(UTC)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 2)


async def test_a_confirmation_that_another_write_brings_is_not_lost(engine: Engine, directory: Directory) -> None:
    """What the worker commits after it is held, before it lets go, may be the save that hears of it."""
    record = await held(engine, directory, "between")
    holding, entered, told, shown = asyncio.Event(), asyncio.Event(), [], set()
    add = engine.index.add

    async def add_late(request_id: str, rows: Sequence[UserRow]) -> None:
        await holding.wait()
        await add(request_id, rows)
        entered.set()

    async def confirm(run: Run) -> None:
        stored = await engine.log.run(record.id)
        if run.held_at and stored and not stored.held_at:
            holding.set()
            await entered.wait()
        elif run.held_at and run.owner and not told:
            told.append(run)
            await controls(engine).confirm(record, 2)
        if run.held_at and run.owner and (row := await engine.log.get(record.id)):
            shown.add(row.status)

    engine.index.add = add_late  # type: ignore[method-assign] -- the real one, a moment later
    engine.log.before_save = confirm
    final = await engine.resume(record.id)
    assert told
    assert shown == {RequestStatus.HELD, RequestStatus.RUNNING}
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 2)


async def test_nobody_is_sent_before_the_right_number_was_named(engine: Engine, directory: Directory) -> None:
    """A held request waits, whoever drives it; confirmed, it runs."""
    record = await held(engine, directory, "held")
    await engine.resume(record.id)
    await engine.resume(record.id)
    for wrong in (0, 1, 3):
        with pytest.raises(Conflict, match="2 users"):
            await controls(engine).confirm(record, wrong)
    assert await directory.served() == []
    await controls(engine).confirm(record, 2)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    with pytest.raises(Conflict, match="not held"):
        await controls(engine).confirm(replace(record, status=RequestStatus.SUCCEEDED), 2)


async def test_a_held_request_ends_cancelled_after_a_day(engine: Engine, directory: Directory) -> None:
    """Nobody has to clean up after it."""
    record = await held(engine, directory, "unconfirmed")
    await engine.resume(record.id)
    run = await stored_run(engine.log, record.id)
    over = datetime.now(UTC) - HELD_LIFETIME - LEASE
    await engine.log.save(replace(run, held_at=over, next_at=over + HELD_LIFETIME), [])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert {row.problem for row in rows} == {problems.CANCELLED}
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(rows))
    assert await directory.served() == []


async def test_cancelling_before_anybody_began_revokes_nobody(engine: Engine, directory: Directory) -> None:
    """A large list whose first worker has not come yet, and a group that nobody has read."""
    everybody = await directory.group("Everybody", NAMES)
    for request, users in (
        (RevocationRequest(users=NamedUsers(NAMES)), 20),
        (RevocationRequest(groups=(everybody,)), 0),
    ):
        record = new_record(datetime.now(UTC), counts=Counts(total=users, pending=users))
        await engine.log.create(record, request)
        await controls(engine).cancel(record)
        final = await engine.resume(record.id)
        rows = await engine.log.all_rows(record.id)
        assert (final.status, len(rows)) == (RequestStatus.CANCELLED, users)
        assert {row.problem for row in rows} <= {problems.CANCELLED}
        assert final.counts == counted(rows)
    assert await directory.served() == []


async def test_a_call_that_was_announced_when_the_cancel_came_does_not_leave(
    engine: Engine, directory: Directory
) -> None:
    """The mark's own save tells the worker of the wish: nobody is sent behind it."""
    record = new_record(datetime.now(UTC), counts=Counts(total=20, pending=20))
    await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES)))
    told = []

    async def cancel(run: Run) -> None:
        if run.flights and run.version and not told:
            told.append(await engine.log.request_cancel(record.id, datetime.now(UTC)))

    engine.log.before_save = cancel
    # The first save makes the run row, so that there is one to write the wish to.
    await engine.log.save(Run(request_id=record.id, counts=Counts()), [])
    final = await engine.resume(record.id)
    assert told == [True]
    assert (final.status, final.counts.skipped) == (RequestStatus.CANCELLED, 20)
    assert await directory.served() == []


async def test_counts_are_the_rows_when_a_cancelled_request_is_put_down(engine: Engine) -> None:
    """A doubt that cannot be settled yet waits; the others have their last word already."""
    rows = [person(1), person(2, sent_at=datetime.now(UTC) + timedelta(seconds=60), attempts=1), person(3)]
    record, _ = await begun(engine, rows, cancel_requested=True)
    running = await engine.resume(record.id, seconds=10, patience=1)
    assert running.status is RequestStatus.RUNNING
    run = await stored_run(engine.log, record.id)
    assert run.next_at
    assert run.next_at > datetime.now(UTC) + timedelta(seconds=30)
    same_counts(run, await engine.log.all_rows(record.id))
    assert (run.counts.skipped, run.counts.pending) == (2, 1)


async def test_a_request_that_another_worker_ended_meanwhile_is_not_begun_again(
    engine: Engine, directory: Directory
) -> None:
    """A message that was delivered twice, and one of its workers stood still from before the other's first write."""
    record = new_record(datetime.now(UTC), counts=Counts(total=20, pending=20))
    await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES)))
    finals = []

    async def overtake(_: Run) -> None:
        engine.log.before_save = None
        finals.append(await engine.resume(record.id))

    engine.log.before_save = overtake
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert [final.counts.verified for final in finals] == [20]
    assert len(await directory.served()) == 20


async def test_the_last_word_is_not_taken_back(engine: Engine) -> None:
    """A worker that stood still may still believe the request to run."""
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    final = replace(record, status=RequestStatus.SUCCEEDED, counts=Counts(total=1, verified=1))
    await engine.log.update(replace(record, status=RequestStatus.RUNNING))
    await engine.log.update(final)
    await engine.log.update(replace(record, status=RequestStatus.HELD))
    stored = await engine.log.get(record.id)
    assert stored
    assert (stored.status, stored.counts) == (RequestStatus.SUCCEEDED, final.counts)


async def test_a_worker_that_stood_still_says_no_last_word_after_another(engine: Engine) -> None:
    """Whatever it would say, and be it the same: the request ended when the first one said so."""
    record, run = await begun(engine, [person(1, status=UserStatus.VERIFIED)])
    await engine.resume(record.id)
    ended = await engine.log.get(record.id)
    put_down = PuttingDown(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=engine.clock)
    with pytest.raises(LeaseLost):
        await put_down.finished(record, RunInHand(run=run, log=engine.log, clock=engine.clock), None)
    assert await engine.log.get(record.id) == ended


async def test_users_whom_a_dead_worker_did_not_enter_by_user_are_entered(engine: Engine) -> None:
    """Else nobody would find that they were revoked."""
    rows = [person(1, status=UserStatus.VERIFIED), person(2, status=UserStatus.VERIFIED)]
    record, _ = await begun(engine, rows, indexed_to=1)
    await engine.resume(record.id)
    found = await engine.index.find(UserRef(given="", text=rows[1].user_id or "", is_id=True), size=20, token=None)
    assert (record.id, 2) in found.items
