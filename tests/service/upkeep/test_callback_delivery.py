"""A callback that is due is delivered whatever happens to hosts and messages, and costs nobody else anything."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import Engine, new_record
from steps import NAMES, JumpingClock, controls, submission, submitter
from storage_log import storage_log

from local.receiver import Receiver, new_secret, receiving
from revoke_core.adapters.storage import REQUESTS_TABLE
from revoke_core.adapters.tables.callback_markers import TableCallbackMarkers
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.adapters.tables.rows import request_partition
from revoke_core.domain.callback import CallbackRules, CallbackState, CallbackStatus, parse_secret
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.schedules import LEASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from listing import Directory

    from revoke_core.service.upkeep.callbacks import Callbacks

SECRET = new_secret()
RULES = CallbackRules(hosts=frozenset({"127.0.0.1"}), secret=parse_secret(SECRET) or b"")


class Scene:
    """Requests with callbacks, whoever receives these, and the messages that are sent meanwhile."""

    def __init__(self, engine: Engine, clock: JumpingClock, receiver: Receiver) -> None:
        self.engine = engine
        self.clock = clock
        self.receiver = receiver
        self.works: list[str] = []
        self.callbacks: list[tuple[str, timedelta]] = []
        self.is_down = False

    async def put(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """A work message."""
        if not delay:
            self.works.append(request_id)

    async def put_callback(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        """A callback message."""
        if self.is_down:
            raise Unavailable("The queue was stopped by the test.")
        self.callbacks.append((request_id, delay))

    def host(self) -> Callbacks:
        """A host with nothing in memory."""
        return self.engine.callbacks(RULES)

    def request(self, **more: object) -> RevocationRequest:
        """What is asked for, with a callback."""
        given: dict[str, object] = {"users": NamedUsers(NAMES[:1]), "callback_url": f"{self.receiver.root}/hook"}
        return RevocationRequest(**given | more)  # type: ignore[arg-type] -- the request's own members

    async def open(self, **more: object) -> RequestRecord:
        """A request that was just accepted."""
        record = new_record(self.clock.now(), callback=CallbackState(), requested_by=RequestedBy(kind="key", id="one"))
        await self.engine.log.create_request(record, self.request(**more))
        return record

    async def ended(self) -> RequestRecord:
        """A request that has ended, its callback message sent."""
        return await self.engine.resume((await self.open()).id)

    async def swept(self) -> list[str]:
        """The callbacks that one run of the timer sends messages for."""
        self.callbacks.clear()
        await self.engine.sweeper().sweep()
        return [request_id for request_id, _ in self.callbacks]

    async def state(self, request_id: str) -> CallbackState:
        """The callback as the request shows it."""
        record = await self.engine.log.get_request(request_id)
        assert record
        assert record.callback
        return record.callback


@pytest.fixture
async def scene(still: tuple[Engine, JumpingClock], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    engine, clock = still
    async with receiving(Receiver(secret=SECRET, clock=lambda: clock.now().timestamp())) as receiver:
        made = Scene(engine, clock, receiver)
        monkeypatch.setattr(engine.queue, "put", made.put)
        monkeypatch.setattr(engine.queue, "put_callback", made.put_callback)
        yield made


async def test_a_host_that_dies_between_end_and_callback_loses_none(scene: Scene) -> None:
    """No message was sent: the timer finds the marker that was written with the final status, and one post is made."""
    scene.is_down = True
    record = await scene.ended()
    assert record.status is RequestStatus.SUCCEEDED
    scene.is_down = False
    scene.clock.jump(seconds=16)
    assert record.id in await scene.swept()
    await scene.host().deliver(record.id)
    (arrival,) = scene.receiver.arrivals
    assert (arrival.fault, arrival.webhook_id) == (None, f"{record.id}-ended")
    assert arrival.body == {"id": record.id, "status": "succeeded"}
    scene.clock.jump(hours=1)
    assert record.id not in await scene.swept()
    await scene.host().deliver(record.id)
    assert len(scene.receiver.arrivals) == 1


async def test_messages_that_come_twice_post_once(scene: Scene) -> None:
    """On one host and on several: the first claims the try, and the receiver is slow."""
    record = await scene.ended()
    scene.receiver.seconds = 0.3
    one, other = scene.host(), scene.host()
    await asyncio.gather(*(host.deliver(record.id) for host in (one, one, other, other)))
    assert len(scene.receiver.arrivals) == 1
    assert (await scene.state(record.id)).status is CallbackStatus.DELIVERED


async def test_a_host_that_dies_in_the_middle_of_a_post_costs_its_lease(scene: Scene) -> None:
    """Whether it arrived nobody knows, so it is posted again, under the same id."""
    record = await scene.ended()
    scene.receiver.seconds = 60
    arrived = asyncio.Event()
    scene.receiver.on_arrival = lambda _: arrived.set()
    dying = asyncio.create_task(scene.host().deliver(record.id))
    async with asyncio.timeout(10):
        await arrived.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    scene.receiver.seconds = 0
    scene.clock.jump(seconds=30)
    assert record.id not in await scene.swept()
    await scene.host().deliver(record.id)
    assert len(scene.receiver.arrivals) == 1
    scene.clock.jump(seconds=LEASE.total_seconds())
    assert record.id in await scene.swept()
    await scene.host().deliver(record.id)
    assert len({arrival.webhook_id for arrival in scene.receiver.arrivals}) == 1
    assert len(scene.receiver.arrivals) == 2


async def test_a_receiver_that_comes_back_is_told_by_the_timer(scene: Scene) -> None:
    """Short pauses are kept by messages, long ones by the timer alone, and each try is made once."""
    record = await scene.ended()
    scene.receiver.failures = 7
    host = scene.host()
    delays = []
    for _ in range(200):
        scene.callbacks.clear()
        await host.deliver(record.id)
        delays += [delay.total_seconds() for request_id, delay in scene.callbacks if request_id == record.id]
        if (await scene.state(record.id)).status is CallbackStatus.DELIVERED:
            break
        scene.clock.jump(seconds=10)
        await scene.swept()
    assert delays == pytest.approx([5, 10, 20, 40], abs=1)
    assert [arrival.answered for arrival in scene.receiver.arrivals] == [500] * 7 + [204]
    assert len({arrival.webhook_id for arrival in scene.receiver.arrivals}) == 1
    assert (await scene.state(record.id)).attempts == 8


async def test_a_long_pause_is_kept_by_the_timer(scene: Scene) -> None:
    """No message waits for it; the timer sends one once the time has come, and one is enough."""
    record = await scene.ended()
    scene.receiver.failures = 6
    host = scene.host()
    for seconds in (5, 10, 20, 40, 80):
        await host.deliver(record.id)
        scene.clock.jump(seconds=seconds + 1)
    await host.deliver(record.id)
    assert len(scene.receiver.arrivals) == 6
    scene.clock.jump(seconds=120)
    assert record.id not in await scene.swept()
    scene.clock.jump(seconds=60)
    assert record.id in await scene.swept()
    assert record.id not in await scene.swept()
    await host.deliver(record.id)
    assert (await scene.state(record.id)).status is CallbackStatus.DELIVERED


async def test_the_word_of_the_end_takes_the_place_of_the_word_that_it_is_held(
    scene: Scene, directory: Directory
) -> None:
    """Who could not be reached while a person was needed learns what came of it, and only that."""
    scene.engine.limits = replace(scene.engine.limits, max_unconfirmed=0)
    group = await directory.group("Held", NAMES[:1])
    record = await scene.open(users=NamedUsers(), groups=(group,))
    assert (await scene.engine.resume(record.id)).status is RequestStatus.HELD
    assert [request_id for request_id, _ in scene.callbacks] == [record.id]
    markers = TableCallbackMarkers(storage=scene.engine.storage)
    stale = await markers.get(record.id)
    assert stale
    await controls(scene.engine).confirm(record, 1)
    scene.clock.jump(seconds=60)
    assert (await scene.engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    # What came of a try for the older word is not what came of the newer one.
    await markers.close(stale, CallbackState(status=CallbackStatus.DELIVERED))
    assert (await scene.state(record.id)).status is CallbackStatus.PENDING
    await scene.host().deliver(record.id)
    assert [arrival.webhook_id for arrival in scene.receiver.arrivals] == [f"{record.id}-ended"]


async def test_a_held_request_is_told_once_however_often_it_is_looked_at(scene: Scene, directory: Directory) -> None:
    """It is looked at every quarter of an hour; whoever was told is not told again."""
    scene.engine.limits = replace(scene.engine.limits, max_unconfirmed=0)
    group = await directory.group("Looked at", NAMES[:1])
    record = await scene.open(users=NamedUsers(), groups=(group,))
    for _ in range(3):
        assert (await scene.engine.resume(record.id)).status is RequestStatus.HELD
        await scene.host().deliver(record.id)
        scene.clock.jump(minutes=20)
    assert [arrival.webhook_id for arrival in scene.receiver.arrivals] == [f"{record.id}-held"]
    assert len(scene.callbacks) == 1


async def test_requests_come_before_callbacks(scene: Scene) -> None:
    """However old a callback is: a receiver that is down for hours must not keep a request waiting."""
    scene.is_down = True
    told = await scene.ended()
    scene.is_down = False
    scene.clock.jump(minutes=1)
    young = await scene.open()
    scene.clock.jump(minutes=1)
    found = [
        (one.request_id, one.is_callback)
        async for batch in scene.engine.open_requests.due(scene.clock.now(), paused=False)
        for one in batch
    ]
    assert found.index((young.id, False)) < found.index((told.id, True))
    assert (told.id, False) not in found


async def test_a_callback_is_no_open_request_of_its_caller(scene: Scene) -> None:
    """It counts against no limit, and nothing of it can be cancelled."""
    caller = RequestedBy(kind="key", id="one").caller
    now = scene.clock.now()
    before = await scene.engine.open_requests.count(caller, 1000, now)
    record = await scene.ended()
    assert await scene.engine.open_requests.count(caller, 1000, now) == before
    found = [one async for batch in scene.engine.open_requests.of_caller(caller, None, now) for one in batch]
    assert record.id not in found


async def test_slow_receivers_leave_an_instance_room(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen are called at once; the other messages go back, so whatever else is in the queue is worked on."""
    monkeypatch.setattr("revoke_core.service.upkeep.callbacks._WAIT_SECONDS", 0.2)
    records = [await scene.ended() for _ in range(18)]
    scene.callbacks.clear()
    scene.receiver.seconds = 3
    host = scene.host()
    await asyncio.gather(*(host.deliver(record.id) for record in records))
    assert len(scene.receiver.arrivals) == 16
    assert [delay for _, delay in scene.callbacks] == [timedelta(seconds=5)] * 2


async def test_a_callback_costs_a_request_no_transaction(scene: Scene) -> None:
    """Its marker is written with the final status; a request without one leaves no marker and no message.

    Delivering it takes five: three reads, the claim, the outcome.
    """
    submit = submitter(scene.engine)
    costs = []
    for url in (None, None, f"{scene.receiver.root}/hook"):
        made = submission()
        made = replace(made, request=replace(made.request, users=NamedUsers(NAMES[:1]), callback_url=url))
        scene.callbacks.clear()
        with storage_log("$batch") as calls:
            record = (await submit.submit(made, within=timedelta(seconds=20))).record
        assert record.status is RequestStatus.SUCCEEDED
        costs.append(calls.count)
        is_due = await TableCallbackMarkers(storage=scene.engine.storage).get(record.id) is not None
        assert (is_due, len(scene.callbacks)) == (url is not None, int(url is not None))
    assert costs[2] == costs[1]
    with storage_log("Revocations") as point, storage_log("$batch") as written:
        await scene.host().deliver(record.id)
    assert (point.count, written.count) == (4, 1)


async def test_a_request_whose_inputs_are_lost_is_a_dead_letter(scene: Scene) -> None:
    """Nobody can tell any more whom to call; it is not tried for ever."""
    record = await scene.ended()
    keys = {"PartitionKey": request_partition(record.id), "RowKey": record.id}
    await scene.engine.storage.table(REQUESTS_TABLE).update_entity(keys | {"Input": b"damaged"})
    await scene.host().deliver(record.id)
    state = await scene.state(record.id)
    assert (state.status, state.last_error) == (CallbackStatus.FAILED, "inputsLost")
    assert await TableCallbackMarkers(storage=scene.engine.storage).get(record.id) is None


async def test_storage_that_fails_after_a_post_has_it_made_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least once: the receiver drops the second one by its id."""
    record = await scene.ended()

    async def fails(*_: object) -> None:
        raise Unavailable("The storage was stopped by the test.")

    with monkeypatch.context() as stopped:
        stopped.setattr(TableCallbackMarkers, "close", fails)
        await scene.host().deliver(record.id)
    scene.clock.jump(seconds=LEASE.total_seconds() + 16)
    assert record.id in await scene.swept()
    await scene.host().deliver(record.id)
    assert len(scene.receiver.arrivals) == 2
    assert len({arrival.webhook_id for arrival in scene.receiver.arrivals}) == 1


async def test_retention_takes_a_callback_along(scene: Scene) -> None:
    """Nothing of a request is left, and a message that still comes for it does nothing."""
    record = await scene.ended()
    engine, markers = scene.engine, TableCallbackMarkers(storage=scene.engine.storage)
    store = TableRetentionStore(storage=engine.storage, log=engine.log, index=engine.index)
    assert await markers.get(record.id)
    assert await store.remove(record, in_time=lambda: True)
    assert await markers.get(record.id) is None
    await scene.host().deliver(record.id)
    assert scene.receiver.arrivals == []


async def test_a_marker_without_a_request_goes(scene: Scene) -> None:
    """A request that was removed by hand leaves no callback that is tried for a day."""
    record = await scene.ended()
    await scene.engine.storage.table(REQUESTS_TABLE).delete_entity(request_partition(record.id), record.id)
    await scene.host().deliver(record.id)
    assert await TableCallbackMarkers(storage=scene.engine.storage).get(record.id) is None
    assert scene.receiver.arrivals == []
