from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Simulator


def claims(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_the_token_answer_has_the_platforms_shape(sim: Simulator) -> None:
    """`expires_on` is a string of Unix seconds, a day away; the token's claims say who and what."""
    answer = (await sim.token()).json
    assert (answer["token_type"], answer["resource"]) == ("Bearer", "https://graph.microsoft.com")
    assert isinstance(answer["expires_on"], str)
    assert 86300 < int(answer["expires_on"]) - time.time() <= 86400
    found = claims(answer["access_token"])
    assert {"aud", "appid", "oid", "tid", "roles", "iat", "nbf", "exp"} <= set(found)
    assert "User.ReadWrite.All" in found["roles"]


async def test_without_roles_the_claim_is_missing(sim: Simulator) -> None:
    """Not empty: absent."""
    await sim.configure(grantedRoles=[])
    assert "roles" not in claims((await sim.token()).json["access_token"])


async def test_who_does_not_know_the_header_gets_no_token(sim: Simulator) -> None:
    """401 in the platform's own form."""
    reply = await sim.token(header="wrong")
    assert (reply.status, reply.json["statusCode"]) == (401, 401)
    assert reply.json["message"]


async def test_a_wrong_resource_is_a_vague_500(sim: Simulator) -> None:
    """As the platform answers."""
    assert (await sim.token(resource="https://example.com")).status == 500


async def test_permissions_granted_later_do_not_show_in_the_kept_token(sim: Simulator) -> None:
    """The same token is handed out until it is forgotten; then the new roles are in it."""
    first = (await sim.token()).json["access_token"]
    await sim.call("POST", "/_sim/config", body={"grantedRoles": ["User.Read.All"]})
    assert (await sim.token()).json["access_token"] == first
    await sim.call("POST", "/_sim/tokens/forget")
    assert claims((await sim.token()).json["access_token"])["roles"] == ["User.Read.All"]


async def test_tokens_need_not_be_frozen(sim: Simulator) -> None:
    """`freezeTokens: false` gives a new token each time."""
    await sim.configure(freezeTokens=False)
    assert (await sim.token()).text != (await sim.token()).text


async def test_a_call_without_a_known_token_is_challenged(sim: Simulator) -> None:
    """None, a made-up and a forgotten one are 401 with the documented header."""
    old = (await sim.token()).json["access_token"]
    await sim.call("POST", "/_sim/tokens/forget")
    for headers in ({}, {"Authorization": "Bearer made.up.token"}, {"Authorization": f"Bearer {old}"}):
        reply = await sim.call("POST", "/v1.0/users/adele@contoso.com/revokeSignInSessions", headers=headers)
        assert (reply.status, reply.code) == (401, "InvalidAuthenticationToken")
        assert reply.headers["www-authenticate"].startswith('Bearer realm="", authorization_uri=')


async def test_a_token_ends_with_its_life(sim: Simulator) -> None:
    """A token that is over is refused, and the endpoint hands out the next."""
    first = (await sim.token()).json["access_token"]
    await sim.configure(clockSkewSeconds=86401)
    headers = {"Authorization": f"Bearer {first}"}
    assert (await sim.call("GET", "/v1.0/users/adele@contoso.com", headers=headers)).status == 401
    assert (await sim.token()).json["access_token"] != first
