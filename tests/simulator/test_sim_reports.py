"""The two logs behind the reporting API: directory audits and sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from local.simulator.clock import Clock
from local.simulator.quota import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator

CHANGED = "Update StsRefreshTokenValidFrom Timestamp"


class SetClock(Clock):
    """Quota time that a test sets."""

    seconds = 0.0

    def quota_seconds(self) -> float:
        """The seconds set."""
        return self.seconds


@pytest.fixture
async def reports(sim: Simulator) -> Simulator:
    """A tenant whose identity may read the logs, as often as a test likes."""
    await sim.configure(grantedRoles=["User.ReadWrite.All", "AuditLog.Read.All"], reportsPer10s=1000)
    return sim


async def rows(sim: Simulator, log: str, text: str) -> list[dict[str, Any]]:
    reply = await sim.graph("GET", f"/auditLogs/{log}?$filter={quote(text)}")
    assert reply.status == 200, reply.text
    return list(reply.json["value"])


async def test_whoever_moves_a_cut_off_is_named(reports: Simulator, id_of: Callable[[str], str]) -> None:
    """By the app, by an administrator, by a new password: the same activity, each with its initiator."""
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await reports.revoke("adele@contoso.com")
    await reports.call("POST", "/_sim/cutOffs", body={"user": "adele@contoso.com", "by": "root.admin@contoso.com"})
    await reports.call("POST", "/_sim/cutOffs", body={"user": "bob@contoso.com", "password": True})
    found = await rows(
        reports, "directoryAudits", f"activityDateTime ge {began} and startswith(activityDisplayName,'{CHANGED}')"
    )
    assert [
        (row["targetResources"][0]["userPrincipalName"], (row["initiatedBy"]["user"] or {}).get("userPrincipalName"))
        for row in found
    ] == [
        ("bob@contoso.com", "admin@contoso.com"),
        ("adele@contoso.com", "root.admin@contoso.com"),
        ("adele@contoso.com", None),
    ]
    assert found[-1]["initiatedBy"]["app"]["servicePrincipalId"]
    of_bob = await rows(reports, "directoryAudits", f"targetResources/any(t: t/id eq '{id_of('bob@contoso.com')}')")
    assert {row["activityDisplayName"] for row in of_bob} == {"Reset user password", CHANGED, "Update user"}


async def test_sign_ins_come_newest_first_and_by_user(reports: Simulator, id_of: Callable[[str], str]) -> None:
    """A page of the users asked for, since the moment asked for, with Graph's member names."""
    await reports.call(
        "POST",
        "/_sim/signIns",
        body=[
            {"user": "adele@contoso.com", "at": "2026-09-10T14:00:00Z"},
            {"user": "adele@contoso.com", "at": "2026-09-10T15:00:00Z", "errorCode": 50126, "app": "Azure Portal"},
            {"user": "bob@contoso.com", "at": "2026-09-10T16:00:00Z"},
            {"user": "carol@contoso.com", "at": "2026-09-10T16:30:00Z"},
        ],
    )
    adele, bob = id_of("adele@contoso.com"), id_of("bob@contoso.com")
    since = "createdDateTime ge 2026-09-10T14:30:00Z"
    found = await rows(reports, "signIns", f"{since} and (userId eq '{adele}' or userId eq '{bob}')")
    assert [(row["userId"], row["status"]["errorCode"]) for row in found] == [(bob, 0), (adele, 50126)]
    assert found[1]["appDisplayName"] == "Azure Portal"
    await reports.configure(reportsOr="refuse")
    reply = await reports.graph(
        "GET", f"/auditLogs/signIns?$filter={quote(f"userId eq '{adele}' or userId eq '{bob}'")}"
    )
    assert (reply.status, reply.message) == (400, "Invalid filter clause")


@pytest.mark.parametrize(
    "text", ["createdDateTime gt 2026-09-10T14:30:00Z", "userId ne 'x'", "isInteractive eq true", "userId eq 'x' and"]
)
async def test_what_the_pages_do_not_list_is_refused(reports: Simulator, text: str) -> None:
    """Only eq, ge, le and startswith on the properties that are documented for them."""
    assert (await reports.graph("GET", f"/auditLogs/signIns?$filter={quote(text)}")).status == 400


async def test_a_row_shows_when_it_is_ingested(reports: Simulator) -> None:
    """Both logs lag behind what happened."""
    await reports.configure(auditLagSeconds=600, signInLagSeconds=600)
    await reports.revoke("adele@contoso.com")
    await reports.call("POST", "/_sim/signIns", body={"user": "adele@contoso.com"})
    assert (await reports.graph("GET", "/auditLogs/directoryAudits")).json["value"] == []
    assert (await reports.graph("GET", "/auditLogs/signIns")).json["value"] == []
    await reports.configure(auditLagSeconds=0, signInLagSeconds=0)
    assert len((await reports.graph("GET", "/auditLogs/directoryAudits")).json["value"]) == 2
    assert len((await reports.graph("GET", "/auditLogs/signIns")).json["value"]) == 1


async def test_reading_takes_a_permission_and_sign_ins_a_licence(sim: Simulator) -> None:
    """Each refusal has Graph's own code; the audit log needs no licence."""
    await sim.configure(grantedRoles=["User.ReadWrite.All"])
    assert (await sim.graph("GET", "/auditLogs/signIns")).code == "Authorization_RequestDenied"
    await sim.configure(grantedRoles=["AuditLog.Read.All"], premiumLicense=False)
    assert (await sim.graph("GET", "/auditLogs/directoryAudits")).status == 200
    refused = await sim.graph("GET", "/auditLogs/signIns")
    assert (refused.status, refused.code) == (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant")


async def test_the_sixth_call_within_ten_seconds_is_sent_away(sim: Simulator) -> None:
    """Both logs share the limit; users are looked up all the same, and nobody is booked as too early for that."""
    await sim.configure(grantedRoles=["User.ReadWrite.All", "AuditLog.Read.All"])
    logs = ["directoryAudits", "signIns"] * 3
    statuses = [(await sim.graph("GET", f"/auditLogs/{log}")).status for log in logs]
    assert statuses == [200] * 5 + [429]
    assert (await sim.graph("GET", "/users/adele@contoso.com")).status == 200
    calls = (await sim.call("GET", "/_sim/calls")).json
    assert (calls["mostReportsIn10s"], calls["gateViolations"]) == (6, 0)


def test_any_ten_seconds_count() -> None:
    """Not windows on the clock: five calls late in one and five early in the next are too many."""
    clock = SetClock()
    window = SlidingWindow(5, clock)
    clock.seconds = 9.0
    assert [window.take() for _ in range(6)] == [None] * 5 + [10.0]
    clock.seconds = 11.0
    assert window.take() == 8.0
    clock.seconds = 19.0
    assert [window.take() for _ in range(5)] == [None] * 5
