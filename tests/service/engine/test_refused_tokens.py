"""A token that Graph takes for the batch and refuses for each of its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine import new_record
from steps import NAMES

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import Counts

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock


@pytest.mark.parametrize(("method", "path"), [("GET", "^/users/"), ("POST", "revokeSignInSessions")])
async def test_calls_of_a_batch_that_are_refused_come_again_with_another_token(
    still: tuple[Engine, JumpingClock], directory: Directory, method: str, path: str
) -> None:
    """The old one may be cached for half a day, and nobody would be revoked meanwhile."""
    engine, clock = still
    await engine.identity.facts()
    given = await directory.tokens()
    clock.jump(seconds=2)
    refused = {"match": {"path": path, "method": method}, "times": 2, "action": {"status": 401}}
    await directory.post("faults", refused)
    record = new_record(clock.now(), counts=Counts(total=2, pending=2))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:2])))
    final = await engine.resume(record.id, seconds=25, max_idle=20)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 2)
    assert await directory.tokens() == given + 1
    moved = [entry["userId"] for entry in await directory.revocations() if entry["effective"]]
    assert sorted(moved) == sorted(map(object_id, NAMES[:2]))
