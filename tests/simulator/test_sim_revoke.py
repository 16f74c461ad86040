from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator

SEED_CUT_OFF = "2025-09-01T00:00:00Z"


async def test_a_revoke_answers_with_graphs_exact_body(sim: Simulator) -> None:
    """The answer is 200 with the documented Boolean and Graph's own content type."""
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.text) == (
        200,
        '{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#Edm.Boolean","value":true}',
    )
    assert reply.headers["Content-Type"] == (
        "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
    )
    assert reply.headers["x-ms-resource-unit"] == "1"
    assert "ServerInfo" in reply.headers["x-ms-ags-diagnostic"]


async def test_the_client_request_id_comes_back(sim: Simulator) -> None:
    """A `client-request-id` is echoed; without one it is the request id."""
    path = "/users/adele@contoso.com/revokeSignInSessions"
    named = await sim.graph("POST", path, headers={"client-request-id": "mine"})
    unnamed = await sim.graph("POST", path)
    assert named.headers["client-request-id"] == "mine"
    assert unnamed.headers["client-request-id"] == unnamed.headers["request-id"]


async def test_a_revoke_moves_the_cut_off_to_now(sim: Simulator) -> None:
    """The cut-off is the whole second of the call, on the clock of the Date header."""
    before = datetime.now(UTC).replace(microsecond=0)
    await sim.revoke("adele@contoso.com")
    moved = datetime.fromisoformat(await sim.cut_off("adele@contoso.com"))
    assert before <= moved <= before + timedelta(seconds=5)


@pytest.mark.parametrize(
    "segment",
    [
        "users/{id}/revokeSignInSessions",
        "users/{ID}/revokeSignInSessions",
        "users/ADELE@contoso.com/revokeSignInSessions",
        "users/adele%40contoso.com/revokeSignInSessions",
        "users/adele@contoso.com/microsoft.graph.revokeSignInSessions",
        "users('adele@contoso.com')/revokeSignInSessions",
    ],
)
async def test_every_spelling_of_a_user_reaches_the_same_one(
    sim: Simulator, id_of: Callable[[str], str], segment: str
) -> None:
    """Id and UPN in any case, both action names and the key form all revoke Adele."""
    adele = id_of("adele@contoso.com")
    path = segment.replace("{id}", adele).replace("{ID}", adele.upper())
    assert (await sim.graph("POST", f"/{path}")).status == 200
    assert [entry["userId"] for entry in await sim.truth("revocations")] == [adele]


@pytest.mark.parametrize("segment", ["conor.o'neil@contoso.com", "conor.o%27neil@contoso.com"])
async def test_an_apostrophe_is_plain_in_a_segment_and_doubled_in_a_key(sim: Simulator, segment: str) -> None:
    """A plain segment takes the apostrophe as it is and refuses a doubled one; the key form wants it doubled."""
    assert (await sim.revoke(segment)).status == 200
    assert (await sim.revoke("conor.o''neil@contoso.com")).status == 404
    assert (await sim.graph("POST", "/users('conor.o''neil@contoso.com')/revokeSignInSessions")).status == 200


@pytest.mark.parametrize("segment", ["$money@contoso.com", "%24money@contoso.com"])
async def test_a_name_that_starts_with_a_dollar_needs_the_key_form(sim: Simulator, segment: str) -> None:
    """A plain segment is refused with Graph's text, however the dollar is written; the key form works."""
    refused = await sim.revoke(segment)
    assert refused.status == 400
    assert refused.message.startswith("The request URI is not valid. Since the segment 'users' refers to a collection")
    assert (await sim.graph("POST", "/users('$money@contoso.com')/revokeSignInSessions")).status == 200


async def test_an_encoded_dollar_can_be_allowed(sim: Simulator) -> None:
    """`dollarUpn: allowEncoded` lets `%24` through, and the bare sign still not."""
    await sim.configure(dollarUpn="allowEncoded")
    assert (await sim.revoke("%24money@contoso.com")).status == 200
    assert (await sim.revoke("$money@contoso.com")).status == 400


@pytest.mark.parametrize("name", ["guest_fabrikam.com", "member_fabrikam.com"])
async def test_an_invited_user_is_answered_200_without_effect(sim: Simulator, name: str) -> None:
    """Guest or external member: Graph answers true, the cut-off stays, and the log has both."""
    user = f"{name}%23EXT%23@contoso.com"
    assert (await sim.revoke(user)).json["value"] is True
    assert await sim.cut_off(user) == SEED_CUT_OFF
    assert [entry["effective"] for entry in await sim.truth("revocations")] == [False]


@pytest.mark.parametrize("user", ["local.guest@contoso.com", "dora.disabled@contoso.com"])
async def test_who_signs_in_here_is_revoked(sim: Simulator, user: str) -> None:
    """A guest account of this tenant and a disabled one are revoked like any other."""
    await sim.revoke(user)
    assert await sim.cut_off(user) != SEED_CUT_OFF
    assert [entry["effective"] for entry in await sim.truth("revocations")] == [True]


async def test_an_unknown_user_is_not_found(sim: Simulator) -> None:
    """404 under the name the caller used, and the log lists it."""
    reply = await sim.revoke("nobody@contoso.com")
    assert (reply.status, reply.code) == (404, "Request_ResourceNotFound")
    assert reply.message == (
        "Resource 'nobody@contoso.com' does not exist or one of its queried reference-property objects are not present."
    )
    entry = (await sim.truth("revocations"))[0]
    assert (entry["userId"], entry["status"], entry["effective"]) == ("nobody@contoso.com", 404, False)


async def test_a_get_on_the_action_is_not_allowed(sim: Simulator) -> None:
    """405 with Graph's text."""
    reply = await sim.graph("GET", "/users/adele@contoso.com/revokeSignInSessions")
    assert (reply.status, reply.message) == (405, "Specified HTTP method is not allowed for the request target.")


async def test_the_success_status_can_be_204(sim: Simulator) -> None:
    """`revokeStatus: 204` answers without a body, as the documentation once stated."""
    await sim.configure(revokeStatus=204)
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.text) == (204, "")


@pytest.mark.parametrize(
    ("role", "lax", "strict"),
    [
        ("User.RevokeSessions.All", 200, 200),
        ("User.ReadWrite.All", 200, 403),
        ("Directory.ReadWrite.All", 200, 403),
        ("User.Read.All", 403, 403),
    ],
)
async def test_the_accepted_permissions_depend_on_the_reading(sim: Simulator, role: str, lax: int, strict: int) -> None:
    """The permission data accepts three; strictly by the page it is only User.RevokeSessions.All."""
    await sim.configure(grantedRoles=[role])
    assert (await sim.revoke("adele@contoso.com")).status == lax
    await sim.configure(strictRevokePermission=True)
    assert (await sim.revoke("adele@contoso.com")).status == strict


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        ("operation", "Access to invalidate refresh tokens operation is denied."),
        ("generic", "Insufficient privileges to complete the operation."),
    ],
)
async def test_a_denied_revoke_has_one_of_two_texts(sim: Simulator, reading: str, text: str) -> None:
    """The code is the same and the cut-off stays."""
    await sim.configure(grantedRoles=["User.Read.All"], revokeDenied=reading)
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.code, reply.message) == (403, "Authorization_RequestDenied", text)
    assert await sim.cut_off("adele@contoso.com") == SEED_CUT_OFF


async def test_administrators_can_be_out_of_reach(sim: Simulator) -> None:
    """`adminTargets: refuse` answers 403 for them although the permission is there."""
    assert (await sim.revoke("root.admin@contoso.com")).status == 200
    await sim.configure(adminTargets="refuse")
    assert (await sim.revoke("root.admin@contoso.com")).status == 403
    assert (await sim.revoke("adele@contoso.com")).status == 200


async def test_a_lagging_replica_shows_the_old_cut_off(sim: Simulator) -> None:
    """Under `lagSeconds` a read still shows the old value; without lag it shows the new one."""
    await sim.configure(lagSeconds=60)
    await sim.revoke("adele@contoso.com")
    assert await sim.cut_off("adele@contoso.com") == SEED_CUT_OFF
    await sim.configure(lagSeconds=0)
    assert await sim.cut_off("adele@contoso.com") != SEED_CUT_OFF


async def test_a_revoke_leaves_two_audit_rows(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """One correlation id, the documented activity names, the application as the initiator."""
    adele = id_of("adele@contoso.com")
    await sim.revoke("adele@contoso.com")
    await sim.revoke("bob@contoso.com")
    rows: list[dict[str, Any]] = (
        await sim.graph("GET", f"/auditLogs/directoryAudits?$filter=targetResources/any(t:t/id%20eq%20'{adele}')")
    ).json["value"]
    assert {row["activityDisplayName"] for row in rows} == {
        "Update StsRefreshTokenValidFrom Timestamp",
        "Update user",
    }
    assert len({row["correlationId"] for row in rows}) == 1
    assert rows[0]["initiatedBy"]["user"] is None
    assert rows[0]["targetResources"][0]["modifiedProperties"][0]["displayName"] == "StsRefreshTokensValidFrom"


async def test_a_refused_revoke_leaves_no_audit_row(sim: Simulator) -> None:
    """Neither does one without effect."""
    await sim.configure(adminTargets="refuse")
    await sim.revoke("root.admin@contoso.com")
    await sim.revoke("guest_fabrikam.com%23EXT%23@contoso.com")
    assert (await sim.graph("GET", "/auditLogs/directoryAudits")).json["value"] == []
