"""Evidence as a caller sees it: in the resource, in the CSV, and what readiness says of its permission."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from outages import House, house
from steps import JumpingClock

from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from revoke_core.adapters.storage import Storage

LOGS = "AuditLog.Read.All"


@pytest.fixture
async def clock(storage: Storage) -> AsyncIterator[JumpingClock]:
    """A clock of the test's own; no row that another test's clock has written is in its way."""
    for row in ("1", "reports"):
        await storage.table(STATE_TABLE).delete_entity("pace", row)
    yield JumpingClock()
    for row in ("1", "reports"):
        await storage.table(STATE_TABLE).delete_entity("pace", row)


async def readiness(made: House) -> tuple[int, Any]:
    answer = await made.app.read.readiness(HttpCall())
    return answer.status, json.loads(answer.body)


async def test_the_answer_and_the_csv_show_what_was_found(azurite: str, clock: JumpingClock) -> None:
    """Members and columns as the docs name them; a user without evidence has none."""
    async with house(azurite, clock=clock, EVIDENCE="true") as made:
        await made.directory.configure(grantedRoles=["User.ReadWrite.All", LOGS])
        _, found = await made.submit({"users": ["adele@contoso.com", "nobody@contoso.com"]})
        assert [("evidence" in user) for user in found["users"]] == [False, False]
        sign_in = {"user": "adele@contoso.com", "app": "=Azure Portal", "address": "203.0.113.77", "errorCode": 50173}
        await made.directory.post("signIns", sign_in | {"failureReason": "The grant has expired."})
        clock.jump(seconds=30)
        await made.app.read_evidence()
        adele, nobody = (await made.status(found["id"]))["users"]
        assert "evidence" not in nobody
        evidence = adele["evidence"]
        assert list(evidence) == ["initiatedBy", "correlationId", "auditedAt", "firstSignIn", "readAt"]
        assert evidence["initiatedBy"].keys() == {"kind", "id", "name"}
        assert evidence["initiatedBy"]["kind"] == "app"
        assert evidence["firstSignIn"].pop("time").endswith("Z")
        assert evidence["firstSignIn"] == {
            "app": "=Azure Portal",
            "address": "203.0.113.77",
            "result": "50173: The grant has expired.",
        }
        answer = await made.app.read.users(HttpCall(query={"format": "csv"}), found["id"])
        first, second = csv.DictReader(io.StringIO(answer.body.decode(), newline=""))
        assert first["evidenceCorrelationId"] == evidence["correlationId"]
        assert first["evidenceInitiatedByName"] == "session-revoker"
        assert first["evidenceFirstSignInApp"] == "'=Azure Portal"
        assert first["evidenceReadAt"] == evidence["readAt"]
        assert second["evidenceReadAt"] == ""


async def test_nobody_signed_in_so_far_is_told_from_not_known(azurite: str, clock: JumpingClock) -> None:
    """``null`` is an answer of the sign-in log; where that cannot be read the member is not there."""
    async with house(azurite, clock=clock, EVIDENCE="true") as made:
        await made.directory.configure(grantedRoles=["User.ReadWrite.All", LOGS])
        _, found = await made.submit({"user": "adele@contoso.com"})
        clock.jump(seconds=30)
        await made.app.read_evidence()
        (user,) = (await made.status(found["id"]))["users"]
        assert user["evidence"]["firstSignIn"] is None
        await made.directory.configure(premiumLicense=False)
        _, found = await made.submit({"user": "bob@contoso.com"})
        clock.jump(seconds=30)
        await made.app.read_evidence()
        shown = await made.status(found["id"])
        assert "firstSignIn" not in shown["users"][0]["evidence"]
        assert shown["users"][0]["evidence"]["initiatedBy"]
        assert "P1 or P2" in shown["warnings"][0]


async def test_readiness_names_the_permission_and_stays_ready(azurite: str, clock: JumpingClock) -> None:
    """The app can revoke: what is missing is named with its command, and nothing is turned away."""
    async with house(azurite, clock=clock, EVIDENCE="true") as made:
        status, found = await readiness(made)
        assert (status, found["missing"]) == (200, [LOGS])
        assert "b0afded3-3588-46d8-8b3d-9842eff778da" in found["grantCommand"]
    async with house(azurite, clock=clock) as made:
        status, found = await readiness(made)
        assert (status, found["missing"]) == (200, [])


async def test_without_the_setting_the_timer_asks_nothing(azurite: str, clock: JumpingClock) -> None:
    """No call to either log, whatever the permissions."""
    async with house(azurite, clock=clock) as made:
        await made.directory.configure(grantedRoles=["User.ReadWrite.All", LOGS])
        _, found = await made.submit({"user": "adele@contoso.com"})
        clock.jump(minutes=5)
        await made.app.read_evidence()
        assert "evidence" not in (await made.status(found["id"]))["users"][0]
        assert not [route for route in await made.directory.calls() if route.startswith("/auditLogs")]
