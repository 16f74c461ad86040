"""A host that stops: what is under way ends and is written, and the rest is due at once for whoever comes next."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine import new_record, stored_run
from steps import NAMES, ago, begun, person

from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine import Engine
    from listing import Directory

    from revoke_core.domain.run import Run
    from revoke_core.domain.user_state import UserRow


async def put_down(engine: Engine, record: RequestRecord) -> None:
    """The promise: the next worker need not wait for a lease to end, and finds nobody in doubt."""
    run = await stored_run(engine.log, record.id)
    assert run.lease_until is None
    assert run.due_at
    assert run.due_at <= datetime.now(UTC)
    assert (await engine.resume(record.id)).status.is_final


async def test_a_stop_that_meets_a_commit_puts_the_request_down(engine: Engine, directory: Directory) -> None:
    """The commit is of what was found, and the worker waits for it."""
    await directory.move_cut_off(NAMES[0])
    record, _ = await begun(engine, [person(1, status=UserStatus.REVOKED, sent_at=ago(seconds=1))])
    committing, go_on = asyncio.Event(), asyncio.Event()

    async def slow(run: Run) -> None:
        if run.counts.verified and not committing.is_set():
            committing.set()
            await go_on.wait()

    engine.log.before_save = slow
    working = asyncio.create_task(engine.resume(record.id))
    await committing.wait()
    working.cancel()
    go_on.set()
    assert (await working).status is RequestStatus.RUNNING
    await put_down(engine, record)


async def test_a_stop_while_users_are_entered_by_user_puts_the_request_down(
    engine: Engine,
    directory: Directory,  # noqa: ARG001 -- the users are looked up in it
) -> None:
    """They are still entered, or nobody would find that they were revoked."""
    record = new_record(datetime.now(UTC), dry_run=True, counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1]), dry_run=True))
    entering, go_on = asyncio.Event(), asyncio.Event()
    add = engine.index.add

    async def slow(request_id: str, rows: Sequence[UserRow]) -> None:
        entering.set()
        await go_on.wait()
        await add(request_id, rows)

    engine.index.add = slow  # type: ignore[method-assign] -- the real one, a moment later
    working = asyncio.create_task(engine.resume(record.id))
    await entering.wait()
    # Everything else is done by then, and the worker waits; stopped earlier, it has to keep the promise as well.
    await asyncio.wait([working], timeout=0.5)
    working.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert (await working).status is RequestStatus.RUNNING
    assert (await stored_run(engine.log, record.id)).indexed_to == 1
    await put_down(engine, record)
