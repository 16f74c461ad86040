"""A worker that stood still, its host frozen or its storage slow, and goes on when others have done its work."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from engine import Engine, counted, stored_run
from steps import NAMES, ago, begun, person, submission, submitter

from local.simulator.directory import object_id
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import UserStatus
from revoke_core.service.engine.cursor import Cursor
from revoke_core.service.engine.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pytest
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.lanes import Lane
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.domain.responses import Answer
    from revoke_core.domain.run import Run
    from revoke_core.ports.shared import GateKind
    from revoke_core.ports.status_log import Claim
    from revoke_core.service.engine.sources import SourcePage
    from revoke_core.service.intake.submit import Submitted


async def test_a_call_that_stood_still_before_it_began_begins_no_ended_request(
    engine: Engine, directory: Directory
) -> None:
    """The message has brought another worker meanwhile: nobody is sent again, and the rows stay as they ended."""
    finals: list[RequestRecord] = []

    async def overtake(run: Run) -> None:
        engine.log.before_save = None
        finals.append(await engine.resume(run.request_id))

    engine.log.before_save = overtake
    record = (await submitter(engine).submit(submission(), within=timedelta(seconds=90))).record
    assert [final.status for final in (*finals, record)] == [RequestStatus.SUCCEEDED] * 2
    assert len(await directory.served()) == 20
    rows = await engine.log.all_rows(record.id)
    assert {row.status for row in rows} == {UserStatus.VERIFIED}
    assert record.counts == counted(rows)


async def test_a_second_call_under_the_same_key_begins_no_ended_request(engine: Engine, directory: Directory) -> None:
    """It comes to its own first write when the other call is done, and finds the key held."""
    calls = submitter(engine)
    wanted = replace(submission(), idempotency_key=secrets.token_hex(8))
    seconds: list[asyncio.Task[Submitted]] = []
    second_is_there, first_is_done = asyncio.Event(), asyncio.Event()
    create = engine.log.create_request

    async def in_turn(*request: Any, **options: Any) -> Claim | None:
        if not seconds:
            seconds.append(asyncio.create_task(calls.submit(wanted, within=timedelta(seconds=90))))
            await second_is_there.wait()
        else:
            second_is_there.set()
            await first_is_done.wait()
        return await create(*request, **options)

    engine.log.create_request = in_turn  # type: ignore[method-assign] -- the real one, one after the other
    first = (await calls.submit(wanted, within=timedelta(seconds=90))).record
    first_is_done.set()
    second = (await seconds[0]).record
    assert (first.id, first.status) == (second.id, second.status)
    assert first.status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 20
    assert first.counts == counted(await engine.log.all_rows(first.id))


async def test_a_call_that_was_slow_to_be_accepted_is_not_left_alone(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Its time is up before its request is durable: the request goes on behind a message, or by the timer."""
    engine, clock = still
    create = engine.log.create_request

    async def late(*request: Any, **options: Any) -> bool:
        clock.jump(minutes=11)
        return await create(*request, **options)

    engine.log.create_request = late  # type: ignore[method-assign] -- the real one, eleven minutes later
    calls = submitter(engine)
    record = (await calls.submit(submission(), within=timedelta(seconds=90))).record
    await asyncio.gather(*calls._working)
    assert (await stored_run(engine.log, record.id)).lease_until is None
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 20


async def test_a_call_that_was_announced_long_ago_does_not_leave(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Another worker has taken over meanwhile, read its users, and sent them itself."""
    engine, clock = still
    record, _ = await begun(engine, [person(1), person(2)])
    finals: list[RequestRecord] = []
    closed_until = engine.gates.closed_until

    async def frozen(kind: GateKind) -> datetime | None:
        run = await stored_run(engine.log, record.id)
        if run.intents and not finals:
            clock.jump(minutes=3)
            # By Graph's clock, which has not jumped, too.
            announced = tuple(replace(intent, sent_at=ago(minutes=3)) for intent in run.intents)
            await engine.log.save_run(replace(run, intents=announced), [])
            other = Engine(storage=engine.storage, root=engine.root, clock=clock)
            finals.append(await other.resume(record.id))
            await other.close()
        return await closed_until(kind)

    engine.gates.closed_until = frozen  # type: ignore[method-assign] -- the real one, three minutes later
    final = await engine.resume(record.id)
    assert [one.status for one in (*finals, final)] == [RequestStatus.SUCCEEDED] * 2
    assert sorted(await directory.served()) == sorted(object_id(name) for name in NAMES[:2])


async def test_a_call_that_was_announced_long_ago_is_announced_anew(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Where nobody has taken over: what is in doubt is read by when it was sent, so the mark has to be true."""
    engine, clock = still
    record, _ = await begun(engine, [person(1)])
    closed_until, froze = engine.gates.closed_until, []

    async def frozen(kind: GateKind) -> datetime | None:
        run = await stored_run(engine.log, record.id)
        if run.intents and not froze:
            clock.jump(minutes=3)
            froze.append(run.intents)
        return await closed_until(kind)

    engine.gates.closed_until = frozen  # type: ignore[method-assign] -- the real one, three minutes later
    await engine.resume(record.id, seconds=300)
    marks = [intent.positions for saved in engine.log.saves for intent in saved.run.intents]
    assert marks == [(1,), (1,)]
    assert await directory.served() == [object_id(NAMES[0])]


async def test_a_read_counts_for_the_moment_it_was_asked(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """A worker that stood still over the answer has not read the user when the last read was due."""
    engine, clock = still
    record, _ = await begun(engine, [person(1, sent_at=ago(seconds=40), attempts=1)])
    read_users = engine.graph.read_users

    async def late(users: Sequence[UserRef]) -> list[Answer]:
        answers = await read_users(users)
        if not clock.ahead:
            # The call that is in doubt gets through at last.
            await directory.move_cut_off(NAMES[0])
            clock.jump(seconds=100)
        return answers

    engine.graph.read_users = late  # type: ignore[method-assign] -- the real one, a hundred seconds later
    final = await engine.resume(record.id, seconds=300)
    assert await directory.served() == []
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 1)


async def test_a_lease_is_renewed_long_before_it_ends_however_the_worker_is_woken(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page takes a minute, and a read in between writes nothing: storage may need its time for the renewal."""
    engine, clock = still
    record, run = await begun(engine, [person(1, sent_at=ago(seconds=10), attempts=1)], planned=False)
    await engine.log.save_run(replace(run, checkpoint=Cursor(source="named", at=1).text), [])
    page_is_read, left = asyncio.Event(), []
    page = engine.sources.page

    async def slow_page(*which: Any, most: int) -> SourcePage:
        await page_is_read.wait()
        return await page(*which, most=most)

    async def hasten(tasks: Tasks, seconds: float) -> None:
        done, _ = await asyncio.wait(tasks._running, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            clock.jump(seconds=seconds)

    async def watch(changed: Run) -> None:
        stored = await stored_run(engine.log, record.id)
        if stored.owner == changed.owner and stored.lease_until:
            left.append(stored.lease_until - clock.now())
            page_is_read.set()

    monkeypatch.setattr(engine.sources, "page", slow_page)
    monkeypatch.setattr(Tasks, "wait", hasten)
    engine.log.before_save = watch
    await engine.resume(record.id, seconds=50)
    assert left[0] > LEASE / 3


async def test_a_lease_is_renewed_while_a_worker_waits_for_its_turn(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others spend the write rate it sleeps a little again and again, and has nothing to write."""
    engine, clock = still
    record, _ = await begun(engine, [person(1)])
    next_at, left = engine.budget.next_at, []
    over = clock.now() + timedelta(minutes=2)

    def later(wanted: int, *, lane: Lane) -> datetime:
        return max(next_at(wanted, lane=lane), min(over, clock.now() + timedelta(seconds=4)))

    async def skipped(moment: datetime) -> None:
        stored = await stored_run(engine.log, record.id)
        assert stored.lease_until
        left.append(stored.lease_until - clock.now())
        clock.jump(seconds=max((moment - clock.now()).total_seconds(), 0))

    monkeypatch.setattr(engine.budget, "next_at", later)
    monkeypatch.setattr(clock, "sleep_until", skipped)
    assert (await engine.resume(record.id, seconds=300)).status is RequestStatus.SUCCEEDED
    assert len(left) > 20
    assert min(left) > LEASE / 3
