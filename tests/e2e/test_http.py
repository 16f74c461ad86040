import asyncio
import json
from typing import Any

import pytest
from clients import Api, Reply, Tenant, until


async def test_a_good_user_is_revoked_and_proven(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """200 verified means that the cut-off has moved past the call, and that Graph did it once."""
    reply = await api.submit({"user": person["userPrincipalName"], "reason": "INC-1"})
    assert reply.status == 200
    assert reply.json["status"] == "succeeded"
    assert reply.json["counts"] | {"verified": 1, "total": 1} == reply.json["counts"]
    user = reply.user
    assert (user["status"], user["userId"], user["attempts"]) == ("verified", person["id"], 1)
    (served,) = await tenant.served(person["id"])
    assert served["requestId"] == user["graphRequestId"]
    assert user["sessionsValidFrom"][:19] >= user["revokedAt"][:17]


async def test_an_unknown_user_is_not_found(api: Api) -> None:
    """A typing error is told as what it is, with what to check."""
    reply = await api.submit({"user": "nobody@contoso.com"})
    assert (reply.status, reply.json["status"]) == (200, "failed")
    assert reply.user["error"]["code"] == "userNotFound"
    assert reply.user["error"]["hint"]


async def test_a_malformed_id_refuses_the_whole_request(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """400 names the field, and nobody is touched."""
    reply = await api.submit({"users": [person["id"], "8f5d1c2e-nonsense"]})
    assert reply.status == 400
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert [fault["pointer"] for fault in reply.json["errors"]] == ["/users/1"]
    assert await tenant.served(person["id"]) == []


@pytest.mark.parametrize("upn", ["guest_fabrikam.com#EXT#@contoso.com", "member_fabrikam.com#EXT#@contoso.com"])
async def test_whoever_was_invited_is_skipped_and_not_sent(api: Api, tenant: Tenant, upn: str) -> None:
    """Graph would answer 200 for them although nothing happens."""
    before = len(await tenant.get("revocations"))
    reply = await api.submit({"user": upn})
    assert (reply.user["status"], reply.user["error"]["code"]) == ("skipped", "externalUser")
    assert reply.json["status"] == "failed"
    assert len(await tenant.get("revocations")) == before


@pytest.mark.parametrize(
    "upn", ["local.guest@contoso.com", "dora.disabled@contoso.com", "$money@contoso.com", "conor.o'neil@contoso.com"]
)
async def test_unusual_users_are_revoked_like_any_other(api: Api, upn: str) -> None:
    """A guest account of this tenant, a disabled one, a dollar, an apostrophe."""
    assert (await api.submit({"user": upn})).user["status"] == "verified"


async def test_unusual_users_work_in_a_batch_too(api: Api) -> None:
    """The URLs inside a batch obey the same rules."""
    reply = await api.submit({"users": ["$money@contoso.com", "conor.o'neil@contoso.com", "nobody@contoso.com"]})
    assert [user["status"] for user in reply.json["users"]] == ["verified", "verified", "failed"]


async def test_one_user_named_in_several_ways_is_one_row(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Id, UPN and other case fold into the first; the sender learns how many were folded."""
    upn = person["userPrincipalName"]
    reply = await api.submit({"users": [upn, person["id"], upn.upper(), person["id"].upper()]})
    assert reply.user["input"] == upn
    assert (reply.json["counts"]["total"], reply.json["counts"]["duplicates"]) == (1, 3)
    assert len(await tenant.served(person["id"])) == 1


async def test_the_protected_and_the_excluded_are_never_sent(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Protected by id as well as by name; excluded does not count against success, protected does."""
    guarded = next(user for user in await tenant.get("users") if user["userPrincipalName"] == "breakglass@contoso.com")
    reply = await api.submit({"users": [guarded["id"], person["id"]]})
    assert [user["error"]["code"] if "error" in user else None for user in reply.json["users"]] == ["protected", None]
    assert reply.json["status"] == "partiallySucceeded"
    reply = await api.submit({"users": [person["id"], "carol@contoso.com"], "exclude": ["CAROL@contoso.com"]})
    assert reply.json["status"] == "succeeded"
    assert reply.json["users"][1]["error"]["code"] == "excluded"
    assert await tenant.served(guarded["id"]) == []


async def test_a_dry_run_says_who_would_be_hit_and_sends_nothing(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The status is planned for whom it would hit, the reason for the others."""
    reply = await api.submit({"users": [person["id"], "nobody@contoso.com"], "dryRun": True})
    assert reply.json["status"] == "planned"
    assert [user["status"] for user in reply.json["users"]] == ["planned", "failed"]
    assert sum(reply.json["counts"][name] for name in ("planned", "failed")) == reply.json["counts"]["total"]
    assert await tenant.served(person["id"]) == []


async def test_without_verify_revoked_is_the_last_word(api: Api, person: dict[str, Any]) -> None:
    """Nothing is read afterwards, and a warning says that it is not proven."""
    reply = await api.submit({"user": person["id"], "verify": False})
    assert (reply.status, reply.user["status"], reply.user["sessionsValidFrom"]) == (200, "revoked", None)
    assert reply.json["warnings"]


@pytest.mark.parametrize("headers", [{}, {"x-functions-key": "wrong"}])
async def test_without_the_key_nothing_opens(api: Api, headers: dict[str, str]) -> None:
    """401 without a body, as the Functions host answers."""
    for method, path in (("POST", "revocations"), ("GET", "revocations"), ("GET", "readiness")):
        reply = await api.call(
            method, path, headers=headers, data=b'{"user":"bob@contoso.com"}' if method == "POST" else None
        )
        assert (reply.status, reply.text) == (401, "")


@pytest.mark.parametrize("name", ["code", "Code"])
async def test_the_key_may_stand_in_the_query_and_no_content_type_is_needed(
    api: Api, person: dict[str, Any], name: str
) -> None:
    """What curl -d sends a form's type; the body is read as JSON all the same."""
    path = f"revocations?{name}={api.key['x-functions-key']}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await api.call("POST", path, headers=form, data=json.dumps({"user": person["id"]}))
    assert reply.user["status"] == "verified"
    assert reply.json["requestedBy"]["kind"] == "key"
    assert api.key["x-functions-key"] not in reply.text


async def test_health_needs_no_key_and_tells_nothing(api: Api) -> None:
    """Liveness for load balancers."""
    assert (await api.call("GET", "health")).json == {"status": "ok"}
    assert (await api.call("HEAD", "health")).status == 200


async def test_the_description_needs_no_key_and_names_this_app(api: Api) -> None:
    """Through the real host: a designer reads it without a key, and calls the address that it names."""
    reply = await api.call("GET", "openapi.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    (server,) = reply.json["servers"]
    assert server["url"] == api.root
    assert (await api.call("GET", f"{server['url']}/health")).status == 200


async def test_an_async_request_is_durable_and_polled_without_a_key(api: Api, person: dict[str, Any]) -> None:
    """202 with absolute Location and Retry-After; the link opens this one request, for reading, to nobody else."""
    reply = await api.submit({"user": person["id"]}, Prefer="respond-async")
    assert (reply.status, reply.headers["Preference-Applied"]) == (202, "respond-async")
    assert 5 <= int(reply.headers["Retry-After"]) <= 60
    location = reply.headers["Location"]
    assert location.startswith(f"{api.root}/operations/{reply.json['id']}?sig=")
    assert (await api.get(f"revocations/{reply.json['id']}")).status in (200, 202)
    done = await until(lambda: api.call("GET", location), lambda found: found.status == 200)
    assert done.user["status"] == "verified"
    tampered = location[:-1] + ("A" if location[-1] != "A" else "B")
    other = (await api.submit({"user": "nobody@contoso.com"})).json["id"]
    for link in (tampered, location.replace(reply.json["id"], other), location.split("?")[0]):
        assert (await api.call("GET", link)).status in (401, 404)


async def test_a_wait_that_was_not_followed_is_not_confirmed(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Only a small request is carried out within the call, and one that was there before is answered as it stands."""
    key = {"Idempotency_Key": f"waits-{person['id']}", "Prefer": "wait=30"}
    first = await api.submit({"user": person["id"]}, **key)
    assert (first.status, first.headers["Preference-Applied"]) == (200, "wait=30")
    again = await api.submit({"user": person["id"]}, **key)
    large = await api.submit({"users": await tenant.people(21, f"waits{person['id'][:8]}")}, Prefer="wait=30")
    found = await api.submit({"groups": [await tenant.group([person["id"]])]}, Prefer="wait=30")
    assert [(reply.status, "Preference-Applied" in reply.headers) for reply in (again, large, found)] == [
        (200, False),
        (202, False),
        (202, False),
    ]
    for reply in (large, found):
        await api.finished(reply.json["id"])


async def test_one_key_and_one_body_are_one_request(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Twenty callers at once with one key get one request; another body under it is a conflict."""
    key = f"run-{person['id']}"
    replies = await asyncio.gather(*(api.submit({"user": person["id"]}, Idempotency_Key=key) for _ in range(20)))
    assert {reply.status for reply in replies} <= {200, 202}
    (request_id,) = {reply.json["id"] for reply in replies}
    assert (await api.finished(request_id)).user["status"] == "verified"
    assert len(await tenant.served(person["id"])) == 1
    again = await api.submit({"users": [person["id"]]}, Idempotency_Key=key)
    assert (again.status, again.json["id"]) == (200, request_id)
    other = await api.submit({"user": "bob@contoso.com"}, Idempotency_Key=key)
    assert other.status == 409


@pytest.mark.parametrize("key", ["", " ", "k" * 256])
async def test_an_unusable_idempotency_key_is_a_fault(api: Api, key: str) -> None:
    """Better than silently doing the work twice."""
    assert (await api.submit({"user": "bob@contoso.com"}, Idempotency_Key=key)).status == 400


async def test_more_than_twenty_users_are_carried_out_behind_a_202(api: Api, tenant: Tenant) -> None:
    """Batches of twenty, every user once."""
    names = [f"user{number:05d}@contoso.com" for number in range(1, 46)]
    reply = await api.submit({"users": names})
    assert reply.status == 202
    done = await api.finished(reply.json["id"])
    assert (done.json["status"], done.json["counts"]["verified"]) == ("succeeded", 45)
    ids = [user["userId"] for user in done.json["users"]]
    assert len(await tenant.served(*ids)) == 45


async def test_a_twenty_user_request_uses_three_batches(api: Api, tenant: Tenant) -> None:
    """Look up, revoke, prove: one batch each."""
    before = (await tenant.get("calls"))["routes"].get("/$batch", 0)
    names = [f"user{number:05d}@contoso.com" for number in range(101, 121)]
    reply = await api.submit({"users": names})
    assert (reply.status, reply.json["counts"]["verified"]) == (200, 20)
    assert (await tenant.get("calls"))["routes"]["/$batch"] == before + 3


async def test_a_raw_payload_is_carried_out_and_its_query_is_read_as_it_was_sent(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The host joins a repeated parameter and hides an empty one; neither is taken for something else."""
    route, body = "revocations/from/risky-users", json.dumps({"id": person["id"], "riskState": "atRisk"})

    async def post(query: str) -> Reply:
        return await api.call("POST", f"{route}?{query}", headers=api.key, data=body)

    for query in ("reason=a&reason=b", "dryRun=", "verify=true&verify=true", "top="):
        reply = await post(query)
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (400, f"/{query.partition('=')[0]}")
    plain = json.dumps({"user": person["id"]})
    assert (await api.call("POST", "revocations?dryRun=", headers=api.key, data=plain)).status == 400
    assert await tenant.served(person["id"]) == []
    done = await post("exclude=a%2Bb@contoso.com&exclude=c@contoso.com,d@contoso.com&reason=a%20b")
    assert (done.status, done.json["reason"], done.user["status"]) == (200, "a b", "verified")
    assert (await api.call("POST", route, data=body)).status == 401
    assert len(await tenant.served(person["id"])) == 1
