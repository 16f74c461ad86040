"""The timer redrives open requests that no worker is expected to have: the one recovery path."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from engine import new_record, stored_run
from steps import NAMES, begun, controls, person, submission, submitter

from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.rows import request_partition
from revoke_core.domain import problems
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import HELD_LIFETIME, LEASE, LONGEST_UNWATCHED
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from engine import Engine
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.ports.shared import OpenRequest


class Messages:
    """The work messages sent from now on, by request; ``is_down`` makes the queue fail."""

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.is_down = False
        patch.setattr(engine.queue, "put", self._put)

    async def _put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        if self.is_down:
            raise Unavailable("The queue was stopped by the test.")
        if not delay:
            self.sent.append(request_id)

    async def swept(self, engine: Engine) -> list[str]:
        """What one run of the timer sends."""
        self.sent.clear()
        await engine.sweeper().sweep()
        return self.sent


async def stranded(engine: Engine) -> str:
    """A request that was just accepted, and whose message is lost."""
    record = new_record(engine.clock.now())
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    return record.id


@pytest.fixture
def messages(still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch) -> Messages:
    return Messages(still[0], monkeypatch)


async def test_the_oldest_request_is_redriven_first(still: tuple[Engine, JumpingClock], messages: Messages) -> None:
    """However many are open: the ones that have waited longest are never left to the next run."""
    engine, clock = still
    requests = []
    for _ in range(3):
        requests.append(await stranded(engine))
        clock.jump(seconds=1)
    clock.jump(minutes=5)
    sent = await messages.swept(engine)
    assert [one for one in sent if one in requests] == requests


async def test_a_run_that_has_no_time_left_goes_on_where_it_stopped(
    still: tuple[Engine, JumpingClock], messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 s a run, 100 requests at a time, three hundred on their way: the next run begins with those not reached."""
    engine, clock = still
    requests = [await stranded(engine) for _ in range(330)]
    clock.jump(minutes=5)
    await messages.swept(engine)
    clock.jump(minutes=10)
    note = engine.open_requests.note_redriven
    began = clock.now()

    async def slow(batch: Sequence[OpenRequest], now: datetime) -> None:
        await note(batch, now)
        if any(one.request_id in requests for one in batch) and clock.now() < began + timedelta(seconds=25):
            clock.jump(seconds=26)

    monkeypatch.setattr(engine.open_requests, "note_redriven", slow)
    first = {*await messages.swept(engine)}
    assert 0 < len(first & {*requests}) < len(requests)
    monkeypatch.setattr(engine.open_requests, "note_redriven", note)
    second = {*await messages.swept(engine)}
    assert not first & second
    assert set(requests) <= first | second


async def test_a_request_that_cannot_be_read_keeps_no_other_from_being_redriven(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """Its row may be damaged, or written by a later version of the app; the others get their messages all the same."""
    engine, clock = still
    requests = [await stranded(engine) for _ in range(3)]
    clock.jump(minutes=5)
    damaged = {"PartitionKey": request_partition(requests[0]), "RowKey": requests[0], "Status": "unheardOf"}
    await engine.storage.table(REQUESTS_TABLE).update_entity(damaged)
    sent = await messages.swept(engine)
    assert set(requests) <= set(sent)
    with pytest.raises(ValueError, match="unheardOf"):
        await engine.resume(requests[0])
    assert (await engine.resume(requests[1])).status is RequestStatus.SUCCEEDED
    await engine.storage.table(REQUESTS_TABLE).delete_entity(damaged)


async def test_a_request_whose_lease_is_held_is_left_to_its_worker(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """Its message finds the lease held: the timer comes again when that ends, and not at each of its runs."""
    engine, clock = still
    request_id = await stranded(engine)
    clock.jump(seconds=LEASE.total_seconds() + 1)
    held = Run(request_id=request_id, owner="first", epoch=1, lease_until=clock.now() + LEASE, counts=Counts())
    await engine.log.save_run(held, [])
    assert request_id in await messages.swept(engine)
    assert (await engine.resume(request_id)).status is RequestStatus.ACCEPTED
    clock.jump(seconds=30)
    assert request_id not in await messages.swept(engine)
    clock.jump(seconds=LEASE.total_seconds() - 28)
    assert request_id in await messages.swept(engine)
    assert (await engine.resume(request_id)).status is RequestStatus.SUCCEEDED


async def test_a_worker_that_dies_is_replaced_when_its_lease_ends(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """However often the timer has sent a message before: whoever acquires the lease moves the next time."""
    engine, clock = still
    request_id = await stranded(engine)
    for _ in range(4):
        clock.jump(minutes=10)
        assert request_id in await messages.swept(engine)
    engine.log.saves_left = 1
    with pytest.raises(Unavailable):
        await engine.resume(request_id)
    engine.log.saves_left = None
    clock.jump(seconds=LEASE.total_seconds() + 2)
    assert request_id in await messages.swept(engine)
    assert (await engine.resume(request_id)).status is RequestStatus.SUCCEEDED


async def test_a_request_that_waits_in_the_queue_is_redriven_less_and_less_often(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """Behind a long queue each further message would only make the queue longer."""
    engine, clock = still
    request_id = await stranded(engine)
    clock.jump(seconds=LEASE.total_seconds() + 1)
    times = []
    for _ in range(40):
        if request_id in await messages.swept(engine):
            times.append(clock.now())
        clock.jump(seconds=30)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert [round(wait, -1) for wait in waits] == [60, 90, 180, 360, 480]


@pytest.mark.parametrize("within", [None, timedelta(seconds=20)], ids=["behind-a-202", "in-its-call"])
async def test_an_accepted_request_is_found_without_its_message(
    still: tuple[Engine, JumpingClock], messages: Messages, within: timedelta | None
) -> None:
    """The marker is made with the request's row: neither a lost message nor a dead host strands the request."""
    engine, clock = still
    messages.is_down = within is None
    engine.log.saves_left = 0
    record = (await submitter(engine).submit(submission(), within=within)).record
    assert not record.status.is_final
    messages.is_down = False
    engine.log.saves_left = None
    clock.jump(seconds=LEASE.total_seconds() + 2)
    assert record.id in await messages.swept(engine)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


@pytest.mark.parametrize("word", ["confirm", "cancel"])
async def test_a_signal_counts_although_its_message_was_not_sent(
    still: tuple[Engine, JumpingClock], messages: Messages, word: str
) -> None:
    """The caller was told that it was accepted; the timer's next run finds it."""
    engine, clock = still
    later = clock.now() + HELD_LIFETIME
    record, _ = await begun(engine, [person(1)], held_at=clock.now(), due_at=later)
    await engine.open_requests.postpone(record.id, later)
    clock.jump(minutes=2)
    assert record.id not in await messages.swept(engine)
    messages.is_down = True
    signal = controls(engine)
    await (signal.confirm(record, 1) if word == "confirm" else signal.cancel(record))
    messages.is_down = False
    assert record.id in await messages.swept(engine)
    final = await engine.resume(record.id)
    assert final.status is (RequestStatus.SUCCEEDED if word == "confirm" else RequestStatus.CANCELLED)


async def test_a_held_request_is_looked_at_although_its_confirmation_was_lost_on_the_way(
    still: tuple[Engine, JumpingClock], messages: Messages, directory: Directory
) -> None:
    """Stored, and then neither marker nor queue could be written: a quarter of an hour later it runs all the same."""
    engine, clock = still
    engine.limits = replace(engine.limits, max_unconfirmed=0)
    record = new_record(clock.now())
    group = await directory.group("Held", NAMES[:1])
    await engine.log.create_request(record, RevocationRequest(groups=(group,)))
    assert (await engine.resume(record.id)).status is RequestStatus.HELD
    run = await stored_run(engine.log, record.id)
    await engine.log.save_run(replace(run, confirmed_at=clock.now(), confirmed_users=1, due_at=None), [])
    clock.jump(minutes=1)
    assert record.id not in await messages.swept(engine)
    clock.jump(seconds=LONGEST_UNWATCHED.total_seconds())
    assert record.id in await messages.swept(engine)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


async def test_a_paused_request_is_looked_at_less_and_less_often(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """Hundreds of them may wait for hours; each look costs a message and a lease."""
    engine, clock = still
    engine.limits = replace(engine.limits, paused=True)
    record, _ = await begun(engine, [person(1)])
    looks = []
    for _ in range(120):
        if not looks or record.id in await messages.swept(engine):
            looks.append(clock.now())
            assert (await engine.resume(record.id, max_idle=1)).status is RequestStatus.RUNNING
        clock.jump(seconds=30)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(looks)]
    rounded = [round(wait, -1) for wait in waits]
    assert rounded == sorted(rounded)
    assert (rounded[0], rounded[-1]) == (60, 900)
    assert (await stored_run(engine.log, record.id)).blocked_by == problems.PAUSED.code


async def test_paused_requests_go_on_at_once_when_the_pause_ends(
    still: tuple[Engine, JumpingClock], messages: Messages
) -> None:
    """A host that is not paused redrives them at its timer's first run, and once."""
    engine, clock = still
    engine.limits = replace(engine.limits, paused=True)
    record, _ = await begun(engine, [person(1)], age=timedelta(hours=1))
    await engine.resume(record.id, max_idle=1)
    assert record.id not in await messages.swept(engine)
    engine.limits = replace(engine.limits, paused=False)
    assert record.id in await messages.swept(engine)
    assert record.id not in await messages.swept(engine)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert clock.now() > record.requested_at


async def test_an_ended_request_is_never_redriven(still: tuple[Engine, JumpingClock], messages: Messages) -> None:
    """Its marker goes in the transaction that writes the final status."""
    engine, clock = still
    record, _ = await begun(engine, [person(1, status=UserStatus.VERIFIED)])
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    clock.jump(hours=1)
    assert record.id not in await messages.swept(engine)
