"""The messages that stand behind whoever carries a request out, and behind a message that nobody could work on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import ResourceNotFoundError
from engine import new_record, stored_run
from steps import NAMES, ago, begun, person, submission, submitter

from revoke_core.adapters.storage import WORK_QUEUE
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import Limits, RevocationRequest
from revoke_core.domain.results import Counts, RequestStatus
from revoke_core.domain.schedules import LEASE
from revoke_core.entrypoints.queue_door import QueueDoor

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.results import RequestRecord
    from revoke_core.domain.run import Run


class Sent:
    """What is put into the real work queue: about which request, visible after what time, under which receipt."""

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[str, timedelta, str]] = []
        self._put = engine.queue.put
        patch.setattr(engine.queue, "put", self._noted)

    async def _noted(self, request_id: str, *, delay: timedelta = timedelta(0)) -> str:
        receipt = await self._put(request_id, delay=delay)
        self.messages.append((request_id, delay, receipt))
        return receipt


async def test_a_call_has_a_message_behind_it_until_it_is_done(
    engine: Engine, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there before the request is, is seen a minute later, should the host have died, and is gone in the end."""
    sent = Sent(engine, monkeypatch)
    create = engine.log.create
    there = []

    async def noted(record: RequestRecord, request: RevocationRequest | None) -> None:
        there.extend(sent.messages)
        await create(record, request)

    monkeypatch.setattr(engine.log, "create", noted)
    record = await submitter(engine).submit(submission(), within=timedelta(seconds=90))
    assert record.status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 20
    ((about, delay, receipt),) = there
    assert sent.messages == there
    assert (about, delay) == (record.id, timedelta(seconds=60))
    identity, _, pop_receipt = receipt.partition("|")
    with pytest.raises(ResourceNotFoundError):
        await engine.storage.queue(WORK_QUEUE).update_message(identity, pop_receipt, visibility_timeout=0)


@pytest.mark.parametrize("died", [False, True], ids=["the-first", "after-a-dead-one"])
async def test_a_message_watches_over_whoever_takes_a_lease(
    engine: Engine, directory: Directory, monkeypatch: pytest.MonkeyPatch, *, died: bool
) -> None:
    """Put before anything is sent: should this worker die, its lease is all that is lost, and not the timer's turn."""
    if died:
        record, _ = await begun(engine, [person(1)], lease_until=ago(seconds=1))
    else:
        record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
        await engine.log.create(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    sent = Sent(engine, monkeypatch)
    before_the_call = []

    async def noted(run: Run) -> None:
        if run.flights and not before_the_call:
            before_the_call.extend(sent.messages)

    engine.log.before_save = noted
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 1
    ((about, delay, _),) = before_the_call
    assert about == record.id
    assert LEASE < delay < LEASE + timedelta(seconds=5)


async def test_a_message_before_its_time_is_dropped(
    engine: Engine, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one for the right time is on its way: each that was carried out would put one more."""
    record, before = await begun(engine, [person(1)], next_at=datetime.now(UTC) + timedelta(minutes=2))
    sent = Sent(engine, monkeypatch)
    assert (await engine.resume(record.id)).status is RequestStatus.RUNNING
    assert (sent.messages, await directory.served()) == ([], [])
    assert (await stored_run(engine.log, record.id)).version == before.version


async def test_a_poisoned_work_message_is_sent_again_a_minute_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is only a reference: what kept it from being worked on was no fault of the request's."""
    sent = Sent(engine, monkeypatch)

    async def ready() -> None:
        """Tables and queues are there."""

    door = QueueDoor(
        submitter=submitter(engine),
        worker=engine.worker(),
        queue=engine.queue,
        clock=engine.clock,
        limits=Limits(max_users=100, require_reason=False),
        ready=ready,
    )
    record, _ = await begun(engine, [person(1)])
    await door.work_poison(json.dumps({"requestId": record.id}))
    await door.work_poison("noise")
    assert [(about, delay) for about, delay, _ in sent.messages] == [(record.id, timedelta(minutes=1))]
