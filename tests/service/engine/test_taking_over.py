"""A worker that goes on where another one has left off, in the middle of planning."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from engine import counted, new_record, stored_run
from steps import NAMES, ago, begun, person

from local.simulator.directory import object_id
from revoke_core.adapters.pacing.row import PARTITION, ROW
from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.run import Run, SendIntent
from revoke_core.domain.seen_users import SeenUsers
from revoke_core.domain.user_state import Counts, UserRow
from revoke_core.service.engine.cursor import Cursor
from revoke_core.service.engine.request_warnings import UNPROVEN_BY_CHOICE, UNPROVEN_BY_PERMISSION, warnings_for

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock


async def half_planned(
    engine: Engine, request: RevocationRequest, *, beside: tuple[UserRow, ...] = (), **run: Any
) -> RequestRecord:
    """The first of two named users has its row; rows beside it were written and never counted."""
    record = new_record(
        datetime.now(UTC), status=RequestStatus.RUNNING, verify=request.verify, counts=Counts(total=2, pending=2)
    )
    await engine.log.create_request(record, request)
    first = person(1)
    place = Cursor(source="named", at=1).text
    started = Run(request_id=record.id, epoch=1, checkpoint=place, positions=1, counts=counted([first]), **run)
    await engine.log.save_run(started, [first, *beside])
    return record


@pytest.mark.parametrize("users", [1, 20])
async def test_a_cut_off_that_lags_behind_a_crash_is_read_for_two_minutes(
    engine: Engine, directory: Directory, users: int
) -> None:
    """The call of a dead worker shows only now: whoever has signed in since is not signed out again."""
    rows = [person(place) for place in range(1, users + 1)]
    intent = SendIntent(positions=tuple(row.position for row in rows), sent_at=ago(seconds=115))
    record, _ = await begun(engine, rows, intents=(intent,))
    working = asyncio.create_task(engine.resume(record.id, seconds=30, max_idle=20))
    async with engine.graph.was_read:
        await engine.graph.was_read.wait_for(lambda: len(engine.graph.read) == users)
    for row in rows:
        await directory.move_cut_off(row.user_id or "")
    final = await working
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert await directory.served() == []


async def test_only_users_who_count_are_entered_by_user(engine: Engine, directory: Directory) -> None:
    """Somebody of a page that broke off may be no part of the request; then the position is another user's."""
    request = RevocationRequest(users=NamedUsers(NAMES[:2]))
    stranger = person(3)
    record = await half_planned(
        engine, request, beside=(UserRow(position=2, given=stranger.given, user_id=stranger.user_id),), verifying=True
    )
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert await directory.served() == [object_id(name) for name in NAMES[:2]]
    found = []
    for name in NAMES[:3]:
        page = await engine.index.find(UserRef(given="", text=object_id(name), is_id=True), size=100, token=None)
        found.append([position for request_id, position in page.items if request_id == record.id])
    assert found == [[1], [2], []]


@pytest.mark.parametrize("readable", [True, False])
async def test_why_nothing_is_proven_stays_as_it_was(engine: Engine, directory: Directory, *, readable: bool) -> None:
    """Whoever chose it is not told that a permission is missing, nor the other way round."""
    if not readable:
        await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    request = RevocationRequest(users=NamedUsers(NAMES[:2]), verify=False)
    record = await half_planned(engine, request, readable=readable, warnings=warnings_for(request, readable=readable))
    final = await engine.resume(record.id)
    assert (final.status, final.counts.revoked) == (RequestStatus.SUCCEEDED, 2)
    assert final.warnings == ((UNPROVEN_BY_CHOICE,) if readable else (UNPROVEN_BY_PERMISSION,))


async def test_a_worker_that_is_done_leaves_nothing_behind(engine: Engine) -> None:
    """The next one would hold who was named a second time: an error that was met keeps a worker's parts alive."""
    # Its row is missing at the first look: an error of the storage library, which is part of a circle.
    with suppress(ResourceNotFoundError):
        await engine.storage.table(STATE_TABLE).delete_entity(PARTITION, ROW)
    record = new_record(datetime.now(UTC), counts=Counts(total=20, pending=20))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES)))
    gc.collect()
    gc.disable()
    try:
        await engine.resume(record.id)
        kept = [len(one) for one in gc.get_objects() if isinstance(one, SeenUsers)]
    finally:
        gc.enable()
    assert kept == []


async def test_who_is_sent_again_unread_has_it_written_down_before(engine: Engine, directory: Directory) -> None:
    """Where reading is not permitted it is done once: a crash just then must not give anybody a third call."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    record, _ = await begun(engine, [person(1, sent_at=ago(minutes=5), attempts=1)])
    final = await engine.resume(record.id)
    assert (final.status, final.counts.revoked) == (RequestStatus.SUCCEEDED, 1)
    assert await directory.served() == [object_id(NAMES[0])]
    told = next(saved for saved in engine.log.saves if not saved.run.verifying)
    assert [(row.position, row.unverified_resends) for row in told.rows] == [(1, 1)]


async def test_a_message_finds_a_lease_held_and_leaves_it(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Its owner may have calls in flight: it is taken over when it may be dead, and no sooner."""
    engine, clock = still
    lease = timedelta(seconds=30)
    record, run = await begun(engine, [person(1)], lease_until=clock.now() + lease)
    assert (await engine.resume(record.id)).status is RequestStatus.RUNNING
    assert await directory.served() == []
    assert (await stored_run(engine.log, record.id)).epoch == run.epoch
    assert record.id not in await engine.open_ids(clock.now() + timedelta(seconds=25))
    assert record.id in await engine.open_ids(clock.now() + lease + timedelta(seconds=1))
    clock.jump(seconds=32)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
