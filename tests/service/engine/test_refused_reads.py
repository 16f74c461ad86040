"""A 403 for a read: about one user, or about all of them? The token tells, and a second answer of Graph."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine import new_record, stored_run
from listing import code
from steps import NAMES

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.user_state import Counts, UserStatus
from revoke_core.service.engine.request_warnings import UNPROVEN_BY_PERMISSION

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.request_record import RequestRecord


async def carried_out(engine: Engine, *names: str) -> RequestRecord:
    record = new_record(datetime.now(UTC), counts=Counts(total=len(names), pending=len(names)))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(names)))
    return await engine.resume(record.id)


@pytest.mark.parametrize("others", [0, 100])
async def test_a_lone_403_is_held_against_a_second_fact(engine: Engine, directory: Directory, others: int) -> None:
    """A process that has read nobody yet gives up no proof for it: it is that user's own matter."""
    people = await directory.people(others, "lone")
    await directory.fault(f"^/users/{object_id(NAMES[0])}", times=None, status=403)
    if others:
        # The whole first page is refused, the next one is not.
        for user in people[:99]:
            await directory.fault(f"^/users/{user}", status=403)
    final = await carried_out(engine, object_id(NAMES[0]), *people)
    rows = await engine.log.all_rows(final.id)
    refused = min(others, 99) + 1
    assert [code(row.problem) for row in rows[:refused]] == ["graphRefused"] * refused
    assert {row.status for row in rows[refused:]} <= {UserStatus.VERIFIED}
    assert final.warnings == ()
    run = await stored_run(engine.log, final.id)
    assert run.readable


async def test_users_who_may_not_be_read_at_all_are_revoked_without_proof(engine: Engine, directory: Directory) -> None:
    """Graph refuses every read, whatever the token says: the second fact confirms the first."""
    await directory.fault("^/users", times=None, status=403)
    final = await carried_out(engine, *NAMES[:2])
    assert final.warnings == (UNPROVEN_BY_PERMISSION,)
    assert [row.status for row in await engine.log.all_rows(final.id)] == [UserStatus.REVOKED] * 2


async def test_what_cannot_be_told_now_is_asked_again(engine: Engine, directory: Directory) -> None:
    """The second fact is throttled: the page waits, and nothing is decided on the first alone."""
    await directory.fault(f"^/users/{NAMES[0]}", status=403)
    await directory.fault("^/users$", status=429, headers={"Retry-After": "1"})
    final = await carried_out(engine, NAMES[0])
    (row,) = await engine.log.all_rows(final.id)
    assert (row.status, final.warnings) == (UserStatus.VERIFIED, ())
