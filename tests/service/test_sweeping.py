"""The timer drives again what has neither lease nor message."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import new_record
from steps import NAMES, begun, controls, person, submission, submitter

from revoke_core.adapters.rows import request_partition
from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.results import Counts, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import HELD_LIFETIME, LEASE
from revoke_core.service.sweeping import Sweeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine import Engine
    from steps import JumpingClock

    from revoke_core.domain.results import RequestRecord


async def stranded(engine: Engine) -> str:
    """A request that was just accepted, and whose message is lost."""
    record = new_record(engine.clock.now())
    await engine.ledger.open(record.id)
    await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    return record.id


def counted_messages() -> tuple[list[str], Callable[..., Awaitable[str]]]:
    """Whom a message was sent about, at once, and what takes the queue's place to tell."""
    sent: list[str] = []

    async def noted(request_id: str, *, delay: timedelta = timedelta(0)) -> str:
        assert not delay
        sent.append(request_id)
        return ""

    return sent, noted


async def test_a_request_that_cannot_be_read_keeps_no_other_from_being_driven(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row may be damaged, or written by a later version of the app."""
    engine, clock = still
    requests = [await stranded(engine) for _ in range(3)]
    clock.jump(minutes=5)
    # Marks are read in the order of their keys.
    damaged = {"PartitionKey": request_partition(min(requests)), "RowKey": min(requests), "Status": "unheardOf"}
    await engine.storage.table(REQUESTS_TABLE).update_entity(damaged)
    sent, noted = counted_messages()
    monkeypatch.setattr(engine.queue, "put", noted)
    await Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=engine.clock).sweep()
    assert set(requests) - set(sent) == {min(requests)}
    await engine.ledger.close(min(requests))
    await engine.storage.table(REQUESTS_TABLE).delete_entity(damaged)


async def test_a_request_in_hand_costs_the_timer_one_read(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks every 30 s, and a large request is in hand for many minutes; once the lease is over it looks closer."""
    engine, clock = still
    request_id = await stranded(engine)
    await engine.log.save(
        Run(request_id=request_id, owner="first", epoch=1, lease_until=clock.now() + LEASE, counts=Counts()), []
    )
    get, read = engine.log.get, list[str]()
    sent, put = counted_messages()

    async def noted(one: str) -> RequestRecord | None:
        read.append(one)
        return await get(one)

    monkeypatch.setattr(engine.log, "get", noted)
    monkeypatch.setattr(engine.queue, "put", put)
    sweeper = Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=clock)
    await sweeper.sweep()
    assert (request_id in read, request_id in sent) == (False, False)
    clock.jump(seconds=LEASE.total_seconds() + 1)
    await sweeper.sweep()
    assert (request_id in read, request_id in sent) == (True, True)
    await engine.ledger.close(request_id)


@pytest.mark.parametrize("within", [None, timedelta(seconds=20)], ids=["behind-a-202", "in-its-call"])
async def test_whatever_was_accepted_is_found_without_its_message(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch, within: timedelta | None
) -> None:
    """The mark is there before the request is: from then on neither a lost message nor a dead host strands it."""
    engine, clock = still

    async def lost(request_id: str, *, delay: timedelta = timedelta(0)) -> str:  # noqa: ARG001 -- as the port
        if within is None:
            raise Unavailable("The queue was stopped by the test.")
        return "gone|gone"

    sent, noted = counted_messages()
    monkeypatch.setattr(engine.queue, "put", lost)
    engine.log.saves_left = 0
    record = await submitter(engine).submit(submission(), within=within)
    assert not record.status.is_final
    clock.jump(seconds=66)
    monkeypatch.setattr(engine.queue, "put", noted)
    await Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=clock).sweep()
    assert record.id in sent
    await engine.ledger.close(record.id)


@pytest.mark.parametrize("word", ["confirm", "cancel"])
async def test_what_was_said_counts_although_its_message_was_not_sent(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Whoever hears that nothing was accepted would believe it; the timer's second look finds it at the latest."""
    engine, clock = still
    later = clock.now() + HELD_LIFETIME
    record, _ = await begun(engine, [person(1)], held_at=clock.now(), next_at=later)
    await engine.ledger.open(record.id)

    async def lost(request_id: str, *, delay: timedelta = timedelta(0)) -> str:  # noqa: ARG001 -- as the port
        raise Unavailable("The queue was stopped by the test.")

    sent, noted = counted_messages()
    sweeper = Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=clock)
    monkeypatch.setattr(engine.queue, "put", noted)
    await sweeper.sweep()
    assert record.id not in sent
    monkeypatch.setattr(engine.queue, "put", lost)
    said = controls(engine)
    await (said.confirm(record, 1) if word == "confirm" else said.cancel(record))
    monkeypatch.setattr(engine.queue, "put", noted)
    clock.jump(seconds=30)
    await sweeper.sweep()
    clock.jump(seconds=30)
    await sweeper.sweep()
    assert sent.count(record.id) == 1
    final = await engine.resume(record.id)
    assert final.status is (RequestStatus.SUCCEEDED if word == "confirm" else RequestStatus.CANCELLED)


@pytest.mark.parametrize("looks", ["after-the-new-mark", "before-it"])
async def test_a_request_that_is_made_under_an_old_id_keeps_its_mark(
    still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch, looks: str
) -> None:
    """A key whose first call died keeps its id. The next call is making the request while the timer looks at it."""
    engine, clock = still
    wanted = replace(submission(), idempotency_key=secrets.token_hex(8))
    create, get, promised = engine.log.create, engine.log.get, list[str]()
    sweeper = Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=clock)

    async def dies(record: RequestRecord, _: object) -> None:
        promised.append(record.id)
        raise Unavailable("The first call died here.")

    async def create_late(record: RequestRecord, request: RevocationRequest | None) -> None:
        await sweeper.sweep()
        await create(record, request)

    async def look_early(request_id: str) -> RequestRecord | None:
        found = await get(request_id)
        if request_id in promised:
            monkeypatch.setattr(engine.log, "get", get)
            await submitter(engine).submit(wanted, within=None)
        return found

    monkeypatch.setattr(engine.log, "create", dies)
    with pytest.raises(Unavailable):
        await submitter(engine).submit(wanted, within=None)
    clock.jump(minutes=20)
    if looks == "before-it":
        monkeypatch.setattr(engine.log, "create", create)
        monkeypatch.setattr(engine.log, "get", look_early)
        await sweeper.sweep()
    else:
        monkeypatch.setattr(engine.log, "create", create_late)
        await submitter(engine).submit(wanted, within=None)
    (request_id,) = promised
    assert await engine.log.get(request_id)
    assert request_id in dict(await engine.ledger.open_requests())
    await engine.ledger.close(request_id)


async def test_a_mark_without_a_request_goes(still: tuple[Engine, JumpingClock]) -> None:
    """Its call died before there was anything to carry out; the mark waits for ten minutes, no more."""
    engine, clock = still
    request_id = new_request_id(clock.now())
    await engine.ledger.open(request_id)
    sweeper = Sweeper(log=engine.log, ledger=engine.ledger, queue=engine.queue, clock=clock)
    for minutes, is_there in ((9, True), (2, False)):
        clock.jump(minutes=minutes)
        await sweeper.sweep()
        assert (request_id in dict(await engine.ledger.open_requests())) is is_there
