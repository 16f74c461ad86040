from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine import counted, new_record, stored_run
from steps import NAMES, ago, context, controls

from revoke_core.domain import problems
from revoke_core.domain.errors import Conflict, LeaseLost, Unavailable
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import HELD_LIFETIME, LEASE
from revoke_core.domain.user_state import Counts, UserRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine import Engine
    from listing import Directory


async def held(engine: Engine, directory: Directory, name: str) -> RequestRecord:
    """A request that waits to be confirmed, as its worker has put it down."""
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    group = await directory.group(name, await directory.people(2, name))
    record = new_record(datetime.now(UTC), counts=Counts())
    await engine.log.create_request(record, RevocationRequest(groups=(group,)))
    return record


async def over(engine: Engine, request_id: str) -> None:
    """The lease of a worker that died is over."""
    await engine.log.save_run(replace(await stored_run(engine.log, request_id), lease_until=None), [])


async def test_a_confirmation_that_meets_the_worker_putting_it_down_is_not_lost(
    engine: Engine, directory: Directory
) -> None:
    """The status says held a moment before the lease is let go; whoever confirms then is heard."""
    record = await held(engine, directory, "early")
    told = []

    async def confirm(run: Run) -> None:
        stored = await engine.log.get_run(record.id)
        if run.owner == "" and stored and stored.held_at and not told:
            told.append(stored)
            await controls(engine).confirm(record, 2)

    engine.log.before_save = confirm
    await engine.resume(record.id)
    assert told
    run = await stored_run(engine.log, record.id)
    assert (run.confirmed_at is not None, run.confirmed_users) == (True, 2)
    assert run.due_at
    assert run.due_at <= datetime.now(UTC)
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
        stored = await engine.log.get_run(record.id)
        if run.held_at and stored and not stored.held_at:
            holding.set()
            await entered.wait()
        elif run.held_at and run.owner and not told:
            told.append(run)
            await controls(engine).confirm(record, 2)
        if run.held_at and run.owner and (row := await engine.log.get_request(record.id)):
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


async def test_a_worker_that_stood_still_takes_no_held_request_out_of_the_list(
    engine: Engine, directory: Directory
) -> None:
    """It would put it down as running; whoever looks for requests to confirm has to find it."""
    record = await held(engine, directory, "listed")
    earlier = await engine.log.save_run(Run(request_id=record.id, owner="first", epoch=1, counts=Counts()), [])
    await engine.resume(record.id)
    put_down = engine.finalizer()
    with pytest.raises(LeaseLost):
        await put_down.release(context(engine, record, earlier), engine.clock.now())
    stored = await engine.log.get_request(record.id)
    assert stored
    assert stored.status is RequestStatus.HELD


async def test_whom_a_request_names_beside_a_group_waits_until_its_number_is_known(
    engine: Engine, directory: Directory
) -> None:
    """The users it names stand in their rows long before the group is read, and are a part of what is confirmed."""
    await directory.configure(latencyMs=200)
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    group = await directory.group("Beside", await directory.people(2, "beside"))
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1]), groups=(group,)))
    assert (await engine.resume(record.id)).status is RequestStatus.HELD
    assert await directory.served() == []


async def test_a_confirmation_is_given_once(engine: Engine, directory: Directory) -> None:
    """Whoever repeats it starts no second day for the request, and names a number that was right."""
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    found = await directory.people(3, "repeated")
    group = await directory.group("Repeated", found)
    record = new_record(datetime.now(UTC), counts=Counts())
    excluded = UserRef(given=found[0], text=found[0], is_id=True)
    await engine.log.create_request(record, RevocationRequest(groups=(group,), exclude=(excluded,)))
    await engine.resume(record.id)
    await controls(engine).confirm(record, 2)
    confirmed = await stored_run(engine.log, record.id)
    await controls(engine).confirm(record, 2)
    assert (await stored_run(engine.log, record.id)).version == confirmed.version
    await directory.configure(lagSeconds=60)
    running = await engine.resume(record.id, max_idle=1)
    assert (running.status, running.counts.pending, running.counts.revoked) == (RequestStatus.RUNNING, 0, 2)
    for number in (2, 3):
        await controls(engine).confirm(running, number)
    for wrong in (0, 1, 4, 999):
        with pytest.raises(Conflict, match="3 users"):
            await controls(engine).confirm(running, wrong)


async def test_a_held_request_ends_cancelled_after_a_day(engine: Engine, directory: Directory) -> None:
    """Nobody has to clean up after it."""
    record = await held(engine, directory, "unconfirmed")
    await engine.resume(record.id)
    run = await stored_run(engine.log, record.id)
    over = datetime.now(UTC) - HELD_LIFETIME - LEASE
    await engine.log.save_run(replace(run, held_at=over, due_at=over + HELD_LIFETIME), [])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert {row.problem for row in rows} == {problems.CANCELLED}
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(rows))
    assert await directory.served() == []


async def test_nobody_confirms_after_a_day(engine: Engine, directory: Directory) -> None:
    """Although it has not ended yet, for the app was down: what was true of its users yesterday may be so no more."""
    record = await held(engine, directory, "lapsed")
    await engine.resume(record.id)
    run = await stored_run(engine.log, record.id)
    await engine.log.save_run(replace(run, held_at=ago(hours=30), due_at=ago(hours=6)), [])
    with pytest.raises(Conflict, match="not held"):
        await controls(engine).confirm(record, 2)
    assert (await engine.resume(record.id)).status is RequestStatus.CANCELLED
    assert await directory.served() == []


async def test_a_held_request_is_released_by_no_setting(engine: Engine, directory: Directory) -> None:
    """Its worker dies before it lets go, and the limit is raised before the next one comes."""
    record = await held(engine, directory, "raised")

    async def dies(run: Run) -> None:
        if run.held_at and not run.owner:
            raise Unavailable("The worker died here.")

    engine.log.before_save = dies
    with pytest.raises(Unavailable):
        await engine.resume(record.id)
    engine.log.before_save = None
    engine.limits = replace(engine.limits, max_unconfirmed=100)
    await over(engine, record.id)
    assert (await engine.resume(record.id)).status is RequestStatus.HELD
    assert await directory.served() == []


async def test_a_request_whose_users_were_sent_is_held_by_no_setting(engine: Engine, directory: Directory) -> None:
    """Its worker dies with a call on its way, and the limit is lowered: they are read, and it ends."""
    record = await held(engine, directory, "lowered")
    engine.limits = replace(engine.limits, max_unconfirmed=100)

    async def dies(run: Run) -> None:
        stored = await engine.log.get_run(record.id)
        if stored and stored.intents and run.epoch == 1 and run.lease_until:
            raise Unavailable("The worker died here.")

    engine.log.before_save = dies
    with pytest.raises(Unavailable):
        await engine.resume(record.id)
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    await over(engine, record.id)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 2)
    assert len(await directory.served()) == 2
