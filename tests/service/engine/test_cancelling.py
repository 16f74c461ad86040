from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine import counted, new_record, same_counts, stored_run, users
from steps import NAMES, ago, begun, cancelled_while_planned, controls, person
from table_hooks import hook_tables

from revoke_core.domain import problems
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.run import Run, SendIntent
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
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
        engine, rows, cancel_requested=True, intents=(SendIntent(positions=(1,), sent_at=ago(seconds=3)),)
    )
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [(row.status, row.attempts) for row in after] == [(UserStatus.VERIFIED, 1), (UserStatus.SKIPPED, 0)]
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(after))


async def test_a_cancelled_request_whose_users_were_all_done_says_what_came_of_it(engine: Engine) -> None:
    """The wish came too late to keep anybody from being revoked."""
    record, _ = await begun(engine, [person(1, status=UserStatus.VERIFIED)], cancel_requested=True)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


async def test_cancelling_before_anybody_began_revokes_nobody(engine: Engine, directory: Directory) -> None:
    """A large list whose first worker has not come yet, and a group that nobody has read."""
    everybody = await directory.group("Everybody", NAMES)
    for request, named in (
        (RevocationRequest(users=NamedUsers(NAMES)), 20),
        (RevocationRequest(groups=(everybody,)), 0),
    ):
        record = new_record(datetime.now(UTC), counts=Counts(total=named, pending=named))
        await engine.log.create_request(record, request)
        await controls(engine).cancel(record)
        final = await engine.resume(record.id)
        rows = await engine.log.all_rows(record.id)
        assert (final.status, len(rows)) == (RequestStatus.CANCELLED, named)
        assert {row.problem for row in rows} <= {problems.CANCELLED}
        assert final.counts == counted(rows)
    assert await directory.served() == []


async def test_a_cancelled_list_that_ends_with_people_named_before_is_cancelled_all_the_same(engine: Engine) -> None:
    """Its last page has nobody new; the one before it had everybody."""
    names = [f"somebody{number}@contoso.com" for number in range(100)]
    record = new_record(datetime.now(UTC), counts=Counts(total=150, pending=150))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(names + names[:50])))
    await controls(engine).cancel(record)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.skipped) == (RequestStatus.CANCELLED, 100)


async def test_a_call_that_was_announced_when_the_cancel_came_does_not_leave(
    engine: Engine, directory: Directory
) -> None:
    """The mark's own save tells the worker of the wish: nobody is sent behind it."""
    record = new_record(datetime.now(UTC), counts=Counts(total=20, pending=20))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES)))
    told = []

    async def cancel(run: Run) -> None:
        if run.intents and run.version and not told:
            told.append(await engine.log.request_cancel(record.id, datetime.now(UTC)))

    engine.log.before_save = cancel
    # The first save makes the run row, so that there is one to write the wish to.
    await engine.log.save_run(Run(request_id=record.id, counts=Counts()), [])
    final = await engine.resume(record.id)
    assert told == [True]
    assert (final.status, final.counts.skipped) == (RequestStatus.CANCELLED, 20)
    assert await directory.served() == []


async def test_counts_are_the_rows_when_a_cancelled_request_is_put_down(engine: Engine) -> None:
    """A doubt that cannot be settled yet waits; the others have their last word already."""
    rows = [person(1), person(2, sent_at=datetime.now(UTC) + timedelta(seconds=60), attempts=1), person(3)]
    record, _ = await begun(engine, rows, cancel_requested=True)
    running = await engine.resume(record.id, seconds=10, max_idle=1)
    assert running.status is RequestStatus.RUNNING
    run = await stored_run(engine.log, record.id)
    assert run.due_at
    assert run.due_at > datetime.now(UTC) + timedelta(seconds=30)
    same_counts(run, await engine.log.all_rows(record.id))
    assert (run.counts.skipped, run.counts.pending) == (2, 1)


async def test_a_dry_run_that_is_cancelled_before_everybody_was_found_is_not_planned(
    engine: Engine, directory: Directory
) -> None:
    """Else whoever reads it would take those found so far for all that the request means."""
    groups = [await directory.group(name, await directory.people(101, name)) for name in ("first", "second")]
    record = new_record(datetime.now(UTC), counts=Counts(), dry_run=True)
    await engine.log.create_request(record, RevocationRequest(groups=tuple(groups), dry_run=True))
    cancelled_while_planned(engine, record)
    final = await engine.resume(record.id)
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, Counts(total=101, planned=101))


async def test_a_cancelled_request_ends_although_storage_answers_in_short_pages(engine: Engine, azurite: str) -> None:
    """As it may at any time: what two pages hold together is more than one transaction takes."""
    shortened = 0

    def shorter(call: Any) -> None:
        nonlocal shortened
        call.http_request.url, found = re.subn(r"([$]top=)99(?=&|$)", r"\g<1>60", call.http_request.url)
        shortened += found

    await hook_tables(engine.storage, azurite, raw_request_hook=shorter)
    record = new_record(datetime.now(UTC), status=RequestStatus.RUNNING)
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES)))
    rows = users(1, 130)
    run = await engine.log.save_run(Run(request_id=record.id, owner="first", epoch=1, counts=Counts()), rows[:99])
    planned = replace(run, counts=counted(rows), planned=True, positions=130, indexed_to=130, cancel_requested=True)
    await engine.log.save_run(planned, rows[99:])
    final = await engine.resume(record.id)
    assert shortened
    after = await engine.log.all_rows(record.id)
    assert {row.problem for row in after} == {problems.CANCELLED}
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(after))
