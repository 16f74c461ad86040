"""What other products send, through both entrypoints: exactly the right people are revoked, by the tenant's own log."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from payloads import (
    account,
    alert,
    defender,
    entity,
    flat,
    incident,
    risk_detection,
    risky_user,
    user_evidence,
    workflow,
)

from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from outages import House

    from revoke_core.entrypoints.http.response import HttpResponse

# For each shape what names two users: the first by object id, the second, where the shape takes it, by name.
PAYLOADS: dict[str, Callable[[str, str], Any]] = {
    "sentinel-incident": lambda user, name: incident(
        account(aadUserId=user), account(aadUserId="", accountName=name, upnSuffix="contoso.com")
    ),
    "sentinel-alert": lambda user, name: alert(
        json.dumps([flat(AadUserId=user), flat(AadUserId=None, Name=name)]), AlertDisplayName="x"
    ),
    "sentinel-accounts": lambda user, name: {"Accounts": [flat(AadUserId=user), flat(AadUserId="", Name=name)]},
    "defender-alert": lambda user, name: defender(
        user_evidence(azureAdUserId=user), user_evidence(azureAdUserId=None, userPrincipalName=name)
    ),
    "risky-users": lambda user, name: {
        "value": [risky_user(id=user), risk_detection(userId=None, userPrincipalName=name)]
    },
    "csv": lambda user, name: f"id;UPN;ManagerEmail\n{user};;bob@contoso.com\n;{name};bob@contoso.com\n",
    "sentinel-entity": lambda user, name: entity(AadUserId=user, Name=name),
    "lifecycle-workflow": lambda user, name: workflow(id=user, email=name),
}


def url(**parameters: Any) -> str:
    """The call's address with a query; a list is a parameter that is repeated."""
    return "https://app.contoso.com/api/revocations/from/x?" + urlencode(parameters, doseq=True)


async def post(house: House, shape: str, payload: Any, *, key: str | None = None, **parameters: Any) -> HttpResponse:
    body = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    headers = {"idempotency-key": key} if key else {}
    return await house.app.submit.submit_payload(HttpCall(headers=headers, url=url(**parameters), body=body), shape)


def pointers(answer: HttpResponse) -> list[str]:
    return [fault["pointer"] for fault in json.loads(answer.body)["errors"]]


async def two_users(house: House) -> tuple[str, str, str]:
    """The id of one user, the UPN and the id of another one."""
    prefix = f"raw{secrets.token_hex(4)}"
    first, second = await house.directory.people(2, prefix)
    return first, f"{prefix}1@contoso.com", second


@pytest.mark.parametrize("shape", PAYLOADS)
@pytest.mark.parametrize("door", ["http", "queue"])
async def test_the_named_users_are_revoked_and_nobody_else(whole: House, shape: str, door: str) -> None:
    """Within the call or the message; managers, owners, actors and tenants who stand beside them are not."""
    user, name, other = await two_users(whole)
    payload = PAYLOADS[shape](user, name)
    if door == "http":
        answer = await post(whole, shape, payload, reason="INC-7")
        assert answer.status == 200
        found = json.loads(answer.body)
    else:
        message = json.dumps({"shape": shape, "body": payload, "reason": "INC-7"})
        await whole.app.queue.message(message, secrets.token_hex(8))
        listed = await whole.app.read.requests(HttpCall(query={"user": user}))
        found = json.loads(listed.body)["value"][0]
    assert (found["status"], found["reason"], found["source"]) == ("succeeded", "INC-7", door)
    expected = [user] if shape in ("sentinel-entity", "lifecycle-workflow") else [user, other]
    assert await whole.directory.served() == expected


async def test_a_payload_that_names_nobody_is_a_request_that_failed(whole: House) -> None:
    """200 with ``noUsersMatched``: the call was right, and its status says that nobody was revoked."""
    for shape, payload in (
        ("sentinel-incident", incident()),
        ("sentinel-entity", entity(kind="Ip")),
        ("risky-users", {"value": []}),
        ("csv", "userPrincipalName\n"),
    ):
        answer = await post(whole, shape, payload)
        found = json.loads(answer.body)
        assert (answer.status, found["status"], found["error"]["code"]) == (200, "failed", "noUsersMatched")
        assert found["users"] == []
    assert await whole.directory.served() == []


async def test_the_same_user_named_twice_is_one_row(whole: House) -> None:
    """By id in one entity and by name in another one."""
    prefix = f"raw{secrets.token_hex(4)}"
    (user,) = await whole.directory.people(1, prefix)
    twice = incident(account(aadUserId=user), account(aadUserId=None, accountName=f"{prefix}0"))
    found = json.loads((await post(whole, "sentinel-incident", twice)).body)
    assert (found["counts"]["total"], found["counts"]["duplicates"]) == (1, 1)
    assert await whole.directory.served() == [user]


async def test_the_query_says_what_a_body_would(whole: House) -> None:
    """Who is excluded, why, whether it is only tried out, and under which key."""
    user, name, other = await two_users(whole)
    payload = PAYLOADS["risky-users"](user, name)
    tried = await post(whole, "risky-users", payload, dryRun="TRUE", reason="a b", exclude=f"x@contoso.com, {other}")
    found = json.loads(tried.body)
    assert (found["status"], found["dryRun"], found["reason"]) == ("planned", True, "a b")
    assert [row["status"] for row in found["users"]] == ["planned", "skipped"]
    assert await whole.directory.served() == []
    done = await post(
        whole,
        "risky-users",
        payload,
        verify="False",
        exclude=["x@contoso.com", other],
        expectedUsers="2",
        dryRun="false",
    )
    assert [row["status"] for row in json.loads(done.body)["users"]] == ["revoked", "skipped"]
    assert await whole.directory.served() == [user]


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [
        ({"dryRun": "yes"}, "/dryRun"),
        ({"dryRun": ""}, "/dryRun"),
        ({"dryRun": ["true", "true"]}, "/dryRun"),
        ({"dryRun": "true,false"}, "/dryRun"),
        ({"verify": "1"}, "/verify"),
        ({"reason": ["a", "b"]}, "/reason"),
        ({"reason": "x" * 1001}, "/reason"),
        ({"idempotencyKey": ["a", "a"]}, "/idempotencyKey"),
        ({"idempotencyKey": ""}, "/idempotencyKey"),
        ({"expectedUsers": "many"}, "/expectedUsers"),
        ({"expectedUsers": "-1"}, "/expectedUsers"),
        ({"exclude": "bob"}, "/exclude/0"),
        ({"DryRun": "true"}, "/DryRun"),
        ({"user": "adele@contoso.com"}, "/user"),
        ({"filter": "x"}, "/filter"),
        ({"requestedBy": "x"}, "/requestedBy"),
        ({"top": ""}, "/top"),
    ],
)
async def test_what_a_query_says_wrongly_is_refused(whole: House, parameters: dict[str, Any], pointer: str) -> None:
    """Nothing that a caller believes to be in force is left out in silence."""
    answer = await post(whole, "risky-users", risky_user(), **parameters)
    assert (answer.status, pointers(answer)) == (400, [pointer])
    assert await whole.directory.served() == []


async def test_the_platforms_parameters_are_none_of_the_callers(whole: House) -> None:
    """A key in the query, in any case, and given twice as well."""
    answer = await post(whole, "csv", "user\n", code=["k", "k"], clientId="default", Code="k")
    assert answer.status == 200


async def test_a_key_in_the_query_is_the_key_of_the_header(whole: House) -> None:
    """One scope, whatever door it comes through, and never two keys."""
    (user, name, _) = await two_users(whole)
    key, payload = secrets.token_hex(8), risky_user(id=user)
    first = json.loads((await post(whole, "risky-users", payload, idempotencyKey=key)).body)
    same = json.loads((await post(whole, "risky-users", payload, key=key, idempotencyKey=key)).body)
    _, plain = await whole.submit({"user": user, "idempotencyKey": key})
    assert first["id"] == same["id"] == plain["id"]
    assert (await post(whole, "risky-users", risky_user(id=None, userPrincipalName=name), key=key)).status == 409
    differing = await post(whole, "risky-users", payload, key=key, idempotencyKey="another")
    assert (differing.status, pointers(differing)) == (400, ["/idempotencyKey"])
    assert await whole.directory.served() == [user]


async def test_an_unknown_shape_is_not_found_and_names_those_there_are(whole: House) -> None:
    """A typing error in a flow is found at its first run; the case of the name does not matter."""
    answer = await post(whole, "sentinel-incidents", incident())
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert "sentinel-incident, sentinel-alert" in json.loads(answer.body)["detail"]
    assert (await post(whole, "Sentinel-Incident", incident())).status == 200


async def test_a_body_of_another_shape_is_a_400_and_a_row(whole: House) -> None:
    """Over HTTP nothing is kept, of a message a row says what is wrong; nobody is revoked."""
    answer = await post(whole, "defender-alert", incident(account()))
    assert (answer.status, pointers(answer)) == (400, ["/evidence"])
    await whole.app.queue.message(json.dumps({"shape": "defender-alert", "body": {}}), secrets.token_hex(8))
    listed = await whole.app.read.requests(HttpCall(query={"pageSize": "1"}))
    (row,) = json.loads(listed.body)["value"]
    assert (row["status"], row["error"]["code"]) == ("failed", "invalidMessage")
    assert row["error"]["errors"][0]["pointer"] == "/body/evidence"
    assert await whole.directory.served() == []


async def test_a_large_list_is_accepted_and_carried_out_behind_a_202(whole: House) -> None:
    """What is read in a thread, and more than a call carries out."""
    users = await whole.directory.people(30, f"raw{secrets.token_hex(4)}")
    padding = "x" * 10_000
    answer = await post(whole, "csv", "id,note\n" + "".join(f"{user},{padding}\n" for user in users))
    assert answer.status == 202
    await whole.app.queue.work(json.dumps({"requestId": json.loads(answer.body)["id"]}))
    assert sorted(await whole.directory.served()) == sorted(users)
