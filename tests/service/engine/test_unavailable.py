"""Server errors and foreign answers to a revoke: whether Graph carried it out is read before it is sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine import new_record
from steps import NAMES

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.domain.user_state import UserRow


async def unavailable(directory: Directory, users: int, **action: Any) -> None:
    """The next call that revokes: a single one, or the batch behind the one that looks the users up."""
    match = {"path": "revokeSignInSessions"} if users == 1 else {"path": "batch", "scope": "envelope"}
    fault = {"match": match, "after": int(users > 1), "action": {"status": 503} | action}
    await directory.post("faults", fault)


async def carried_out(engine: Engine, users: int) -> tuple[RequestRecord, list[UserRow]]:
    record = new_record(datetime.now(UTC), counts=Counts(total=users, pending=users))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:users])))
    return await engine.resume(record.id), await engine.log.all_rows(record.id)


@pytest.mark.parametrize("users", [1, 20])
async def test_who_was_revoked_all_the_same_is_not_revoked_again(
    engine: Engine, directory: Directory, users: int
) -> None:
    """A gateway may say so of a call that went through: the user who signs in again is not signed out twice."""
    await unavailable(directory, users, done=True)
    final, rows = await carried_out(engine, users)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert {(row.attempts, row.ambiguity) for row in rows} == {(1, None)}
    moved = [entry for entry in await directory.revocations() if entry["effective"]]
    assert sorted(entry["userId"] for entry in moved) == sorted(map(object_id, NAMES[:users]))


@pytest.mark.parametrize("users", [1, 20])
async def test_who_was_not_is_sent_again_once_that_is_read(engine: Engine, directory: Directory, users: int) -> None:
    """One look, and on: nobody waits for two minutes because Graph was busy for a moment."""
    await unavailable(directory, users)
    began = datetime.now(UTC)
    final, rows = await carried_out(engine, users)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert {row.attempts for row in rows} == {2}
    assert all(row.revoked_at and 1 <= (row.revoked_at - began).total_seconds() < 10 for row in rows)


@pytest.mark.parametrize("users", [1, 20])
@pytest.mark.parametrize(
    "action",
    [
        *({"status": status} for status in (408, 409, 500, 501, 508, 520, 524)),
        *({"status": status, "raw": "<html>blocked</html>"} for status in (400, 403, 404, 410, 503)),
    ],
    ids=str,
)
async def test_whatever_does_not_prove_the_opposite_is_settled_by_reading(
    engine: Engine, directory: Directory, users: int, action: dict[str, Any]
) -> None:
    """Graph did it, and something in between said otherwise: nobody is signed out twice, or called unknown."""
    await unavailable(directory, users, done=True, **action)
    final, rows = await carried_out(engine, users)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert {(row.attempts, row.ambiguity) for row in rows} == {(1, None)}
    assert sorted(await directory.served()) == sorted(map(object_id, NAMES[:users]))


async def test_a_foreign_answer_about_one_of_a_batch_is_that_users_doubt(engine: Engine, directory: Directory) -> None:
    """An item without Graph's own error body is read, too; the other nineteen are done with."""
    fault = {"status": 404, "raw": "<html>", "done": True}
    match = {"scope": "item", "path": "revokeSignInSessions", "userId": object_id(NAMES[4])}
    await directory.post("faults", {"match": match, "action": fault})
    final, rows = await carried_out(engine, 20)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 20)
    assert {row.attempts for row in rows} == {1}
    assert len(await directory.served()) == 20


async def test_an_outage_longer_than_two_calls_fails_nobody_whom_the_app_may_not_read(
    engine: Engine, directory: Directory
) -> None:
    """Unlike a lost answer, which is followed by one more call at most."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    await directory.post("faults", {"match": {"path": "revokeSignInSessions"}, "times": 2, "action": {"status": 503}})
    final, (row,) = await carried_out(engine, 1)
    assert (final.status, row.status, row.attempts) == (RequestStatus.SUCCEEDED, UserStatus.REVOKED, 3)
