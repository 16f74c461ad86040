"""The work messages of a request, and of a message that failed again and again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import new_record, stored_run
from steps import NAMES, ago, begun, person, submission, submitter

from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RequestLimits, RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import Counts
from revoke_core.entrypoints.http import render
from revoke_core.entrypoints.queue import QueueHandlers

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.run import Run


class Sent:
    """What is put into the real work queue: about which request, visible after what time."""

    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[str, timedelta]] = []
        self._put = engine.queue.put
        patch.setattr(engine.queue, "put", self._noted)

    async def _noted(self, request_id: str, *, delay: timedelta = timedelta(0)) -> None:
        await self._put(request_id, delay=delay)
        self.messages.append((request_id, delay))


async def test_a_small_request_costs_no_message(
    engine: Engine, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is carried out in its call; should the host die, the timer finds its open marker."""
    sent = Sent(engine, monkeypatch)
    submitted = await submitter(engine).submit(submission(), within=timedelta(seconds=90))
    assert submitted.record.status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 20
    assert sent.messages == []


async def test_users_of_a_call_are_answered_as_they_are_stored(engine: Engine, directory: Directory) -> None:
    """They are not read back from storage only to be shown."""
    submitted = await submitter(engine).submit(submission(), within=timedelta(seconds=90))
    assert len(await directory.served()) == 20
    stored = await engine.log.all_rows(submitted.record.id)
    # Times are stored in milliseconds, as they are answered.
    assert [render.user(row) for row in submitted.users or ()] == [render.user(row) for row in stored]


@pytest.mark.parametrize("died", [False, True], ids=["the-first", "after-a-dead-one"])
async def test_the_timer_comes_when_the_lease_of_a_worker_ends(
    engine: Engine, directory: Directory, *, died: bool
) -> None:
    """Stored before any user is sent: should this worker die, its lease and a run of the timer are all that is lost."""
    if died:
        record, _ = await begun(engine, [person(1)], lease_until=ago(seconds=1))
    else:
        record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
        await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    await engine.open_requests.postpone(record.id, datetime.now(UTC) + timedelta(minutes=8))
    due: list[bool] = []

    async def noted(run: Run) -> None:
        if run.intents and not due:
            now = datetime.now(UTC)
            due.extend(
                [
                    record.id in await engine.open_ids(now + LEASE - timedelta(seconds=2)),
                    record.id in await engine.open_ids(now + LEASE + timedelta(seconds=2)),
                ]
            )

    engine.log.before_save = noted
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 1
    assert due == [False, True]


async def test_a_message_before_its_time_is_dropped(
    engine: Engine, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one for the right time is on its way: each that was carried out would put one more."""
    record, before = await begun(engine, [person(1)], due_at=datetime.now(UTC) + timedelta(minutes=2))
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

    door = QueueHandlers(
        submitter=submitter(engine),
        worker=engine.worker(),
        queue=engine.queue,
        clock=engine.clock,
        limits=RequestLimits(max_users=100, require_reason=False),
        ready=ready,
        callbacks=engine.callbacks(),
    )
    record, _ = await begun(engine, [person(1)])
    await door.work_poison(json.dumps({"requestId": record.id}))
    await door.work_poison("noise")
    # The timer has its marker.
    await door.work_poison(json.dumps({"callback": record.id}))
    assert sent.messages == [(record.id, timedelta(minutes=1))]
