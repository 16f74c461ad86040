"""Whom a retry may reach: those who failed, and none whom nobody has released."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine import new_record
from steps import NAMES, cancelled_while_planned, controls

from revoke_core.domain.errors import Conflict
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import Counts

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory


async def test_who_was_found_before_a_cancellation_is_not_reached_by_a_retry(
    engine: Engine, directory: Directory
) -> None:
    """It came before everybody was found, so that the request was never held, nor released."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All", "GroupMember.Read.All"])
    first, second = [await directory.group(name, await directory.people(101, name)) for name in ("found", "unread")]
    excluded = UserRef(given=NAMES[0], text=NAMES[0], is_id=False)
    record = new_record(datetime.now(UTC), counts=Counts())
    await engine.log.create_request(record, RevocationRequest(groups=(first, second), exclude=(excluded,)))
    cancelled_while_planned(engine, record)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.failed, final.counts.total) == (RequestStatus.CANCELLED, 101, 101)
    with pytest.raises(Conflict, match="Nobody confirmed"):
        await controls(engine).retry(final, requested_by=final.requested_by, correlation=final.correlation, key=None)


async def test_a_request_that_needed_no_confirmation_is_tried_again_whatever_is_set_later(
    engine: Engine, directory: Directory
) -> None:
    """Its users were released when it ran."""
    engine.limits = replace(engine.limits, max_unconfirmed=100)
    first, second = await directory.people(2, "released")
    group = await directory.group("released", [first, second])
    record = new_record(datetime.now(UTC), counts=Counts())
    await engine.log.create_request(record, RevocationRequest(groups=(group,)))
    gone = {"match": {"userId": first, "path": "revokeSignInSessions"}, "action": {"status": 404}}
    await directory.post("faults", gone)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.failed) == (RequestStatus.PARTIALLY_SUCCEEDED, 1)
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    again = await controls(engine).retry(
        final, requested_by=final.requested_by, correlation=final.correlation, key=None
    )
    assert again.retry_of == record.id
