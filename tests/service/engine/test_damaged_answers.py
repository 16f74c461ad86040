"""What an answer of Graph's may look like when something between here and there has gone wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from steps import begun, person

from revoke_core.domain.identifiers import parse_user
from revoke_core.domain.request_record import RequestStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

BEYOND_TIME = "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"
LAST_SECOND = "Fri, 31 Dec 9999 23:59:59 GMT"
# No UTF-8, no base64, no ASCII; then what can be decoded: no JSON, and JSON that is no object.
CHALLENGES = ["/w==", "A", "ä", "YQ==", "NQ==", "bnVsbA==", "W10="]


@pytest.mark.parametrize("claims", CHALLENGES)
async def test_a_challenge_that_cannot_be_read_is_a_refused_token(
    engine: Engine, directory: Directory, claims: str
) -> None:
    """Nothing was done, so the same call is made again once there is another token."""
    record, _ = await begun(engine, [person(1)])
    headers = {"WWW-Authenticate": f'Bearer realm="", claims="{claims}"'}
    fault = {"match": {"path": "revokeSignInSessions"}, "action": {"status": 401, "headers": headers}}
    await directory.post("faults", fault)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert [entry["status"] for entry in await directory.revocations()] == [401, 200]


@pytest.mark.parametrize("header", ["Date", "Retry-After"])
@pytest.mark.parametrize("value", [BEYOND_TIME, LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 -0500"])
async def test_a_time_beyond_all_calendars_is_no_time(
    engine: Engine, directory: Directory, header: str, value: str
) -> None:
    """A call is answered whatever its headers say of time, and Graph's clock stays where it was."""
    user = parse_user("adele@contoso.com")
    assert user is not None
    await directory.fault("^/users", status=503, headers={header: value})
    (answer,) = await engine.graph.read_users([user])
    assert answer.status == 503
    assert answer.retry_after is None or answer.retry_after <= timedelta(days=7)
    assert abs(engine.graph.time() - datetime.now(UTC)) < timedelta(minutes=1)
