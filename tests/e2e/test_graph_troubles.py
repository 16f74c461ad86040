import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from clients import Api, Tenant, regrant


async def test_a_missing_permission_is_named_with_the_command_that_grants_it(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The user and /readiness say the same; the rest of the request is not sent."""
    others = [f"team{number:02d}@contoso.com" for number in range(1, 4)]
    await tenant.grant("GroupMember.Read.All")
    before = len(await tenant.get("revocations"))
    reply = await api.submit({"users": [person["userPrincipalName"], *others]})
    assert {user["error"]["code"] for user in reply.json["users"]} == {"appPermissionMissing"}
    assert "az rest --method POST" in reply.json["users"][0]["error"]["hint"]
    assert len(await tenant.get("revocations")) == before + 1
    ready = await api.get("readiness")
    assert ready.status == 503
    assert ready.json["missing"] == ["User.ReadWrite.All"]
    assert ready.json["grantCommand"] in reply.json["users"][0]["error"]["hint"]
    await regrant(api, tenant)
    assert (await api.submit({"user": person["id"]})).user["status"] == "verified"


async def test_a_privileged_target_is_told_apart_from_a_missing_permission(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The token has revoked somebody else, so a 403 can only be about the target."""
    await tenant.post("config", {"adminTargets": "refuse"})
    reply = await api.submit({"users": ["root.admin@contoso.com", person["id"]]})
    assert [user["status"] for user in reply.json["users"]] == ["failed", "verified"]
    assert reply.json["users"][0]["error"]["code"] == "targetPrivileged"


async def test_with_the_least_privilege_upns_go_straight_to_graph(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """User.RevokeSessions.All alone revokes; what cannot be proven is not claimed."""
    await tenant.grant("User.RevokeSessions.All")
    reply = await api.submit({"users": [person["userPrincipalName"], "x_y.com#EXT#@contoso.com", "no@contoso.com"]})
    assert [user["status"] for user in reply.json["users"]] == ["revoked", "skipped", "failed"]
    assert reply.json["users"][0]["userId"] is None
    assert "User.Read.All" in reply.json["warnings"][0]
    await regrant(api, tenant)


async def test_one_of_a_call_who_cannot_be_looked_up_holds_nobody_up(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """The call answers with the others verified; the one goes on behind it and is verified when Graph lets it be."""
    people = await tenant.people(12, f"callapart{numbers()}")
    fault = {"match": {"method": "GET", "userId": people[4]}, "times": None, "action": {"status": 500}}
    await tenant.post("faults", fault)
    reply = await api.submit({"users": people})
    assert reply.status == 202
    assert [user["status"] for user in reply.json["users"]] == ["verified"] * 4 + ["pending"] + ["verified"] * 7
    assert "server error" in reply.json["warnings"][0]
    await tenant.post("reset")
    done = await api.finished(reply.json["id"], 120)
    assert (done.json["status"], done.json["warnings"]) == ("succeeded", [])


async def test_one_user_who_may_not_be_read_is_that_users_own_matter(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """The token reads everybody else: they are told apart, excluded and proven as ever."""
    mark = numbers()
    first, last, kept = [await tenant.new_user(f"{name}{mark}@contoso.com") for name in ("first", "last", "kept")]
    invited = await tenant.new_user(f"invited{mark}_x.com#EXT#@contoso.com", creationType="Invitation")
    named = [first["id"], last["id"], kept["id"], invited["id"]]
    match = {"method": "GET", "path": f"/users/{last['id']}"}
    await tenant.post("faults", {"match": match, "action": {"status": 403}})
    reply = await api.submit({"users": named, "exclude": [kept["userPrincipalName"]]})
    users = reply.json["users"]
    assert [user["status"] for user in users] == ["verified", "failed", "skipped", "skipped"]
    assert [user["error"]["code"] for user in users[1:]] == ["graphRefused", "excluded", "externalUser"]
    assert users[1]["graphRequestId"]
    assert reply.json["warnings"] == []
    assert await tenant.served(*named[1:]) == []


async def test_a_proof_that_is_refused_for_one_user_is_read_again(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """The others are proven meanwhile, and so is that one in the end."""
    people = await tenant.people(3, f"refused{numbers()}")
    match = {"method": "GET", "path": f"/users/{people[1]}"}
    await tenant.post("faults", {"match": match, "after": 1, "action": {"status": 403}})
    reply = await api.submit({"users": people})
    done = await api.finished(reply.json["id"])
    assert [user["status"] for user in done.json["users"]] == ["verified"] * 3
    assert done.json["warnings"] == []


async def test_throttling_goes_on_behind_a_202_and_nothing_leaves_early(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The call answers within its bound; no call reaches Graph before its Retry-After has passed."""
    await tenant.post("throttle", {"seconds": 8, "kind": "write"})
    reply = await api.submit({"user": person["id"]})
    assert (reply.status, reply.json["status"]) == (202, "running")
    assert "slow down" in reply.json["warnings"][0]
    done = await api.finished(reply.json["id"])
    assert (done.user["status"], done.user["attempts"]) == ("verified", 2)
    assert done.json["warnings"] == []
    assert (await tenant.get("calls"))["gateViolations"] == 0


@pytest.mark.parametrize("style", ["fractional", "date", "absent"])
async def test_every_form_of_retry_after_is_obeyed(
    api: Api, tenant: Tenant, person: dict[str, Any], style: str
) -> None:
    """Also none at all: then the pauses grow."""
    await tenant.post("config", {"retryAfterStyle": style})
    await tenant.post("throttle", {"seconds": 1.5, "kind": "write"})
    reply = await api.submit({"user": person["id"]})
    assert (await api.finished(reply.json["id"])).user["status"] == "verified"
    assert (await tenant.get("calls"))["gateViolations"] == 0


async def test_a_lagging_cut_off_is_read_again_from_the_queue_side(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """Until the replica shows it the user is revoked, not verified."""
    await tenant.post("config", {"lagSeconds": 10})
    reply = await api.submit({"user": person["id"]})
    assert (reply.status, reply.user["status"]) == (202, "revoked")
    done = await api.finished(reply.json["id"])
    assert (done.user["status"], done.user["attempts"]) == ("verified", 1)
    assert len(await tenant.served(person["id"])) == 1


async def test_a_lost_answer_is_settled_by_reading(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Graph did it and the connection broke: the user is not signed out a second time."""
    match = {"path": "revokeSignInSessions", "userId": person["id"]}
    await tenant.post("faults", {"match": match, "action": {"drop": "after"}})
    reply = await api.submit({"user": person["id"]})
    done = await api.finished(reply.json["id"])
    assert (done.user["status"], done.user["attempts"], done.user["graphRequestId"]) == ("verified", 1, None)
    assert len(await tenant.served(person["id"])) == 1


async def test_server_errors_are_waited_out(api: Api, tenant: Tenant, numbers: Callable[[], int]) -> None:
    """A 503 is repeated; of a 500 and a 504 only a read tells that Graph had done it: each user is verified."""
    statuses = {500: True, 503: False, 504: True}
    people = await tenant.people(len(statuses), f"errors{numbers()}")
    for (status, done), user in zip(statuses.items(), people, strict=True):
        match = {"path": "revokeSignInSessions", "userId": user}
        await tenant.post("faults", {"match": match, "action": {"status": status, "done": done}})
    # A request each, at one moment: they wait for the same clock.
    replies = await asyncio.gather(*(api.submit({"user": user}) for user in people))
    for reply in replies:
        assert (await api.finished(reply.json["id"])).user["status"] == "verified"
    faults = await tenant.get("faults")
    assert [fault["fired"] for fault in faults] == [1, 1, 1]


async def test_a_refused_token_is_replaced(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """A token that Graph takes no more is no reason to fail."""
    await tenant.post("tokens/forget")
    reply = await api.submit({"user": person["id"]})
    assert (await api.finished(reply.json["id"])).user["status"] == "verified"
