"""Entra authentication, with the tests in the place of App Service authentication: they write its header."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables.aio import TableClient
from clients import Api, Reply, Tenant
from principals import (
    CLIENT,
    CONFIRM,
    HEADER,
    READ,
    SUBMIT,
    application,
    claim,
    content,
    encoded,
    person_claims,
    signed_in,
)

from local.up import Kit, kit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientSession

ROLES = {"none": (), "submit": (SUBMIT,), "read": (READ,), "confirm": (CONFIRM,), "all": (SUBMIT, READ, CONFIRM)}
ROUTES = ("POST revocations", "GET revocations", "GET revocations/{id}", "GET revocations/{id}/users", "GET readiness")
# Who gets what from each route about somebody else's request; written out, so that a change of the rules shows here.
EXPECTED = {
    "POST revocations": {"none": 403, "submit": 200, "read": 403, "confirm": 403, "all": 200},
    "GET revocations": {"none": 403, "submit": 200, "read": 200, "confirm": 200, "all": 200},
    "GET revocations/{id}": {"none": 403, "submit": 404, "read": 200, "confirm": 200, "all": 200},
    "GET revocations/{id}/users": {"none": 403, "submit": 404, "read": 200, "confirm": 200, "all": 200},
    "GET readiness": {"none": 403, "submit": 403, "read": 200, "confirm": 403, "all": 200},
    "POST me/revocations": {"none": 200, "submit": 200, "read": 200, "confirm": 200, "all": 200},
}


@pytest.fixture(scope="module")
async def entra() -> AsyncIterator[Kit]:
    """A second kit, with Entra authentication on."""
    async with kit(environment={"ENTRA_AUTHENTICATION": "true"}) as parts:
        yield parts


@pytest.fixture(scope="module")
def app(session: ClientSession, entra: Kit) -> Api:
    """The app behind Entra authentication."""
    return Api(session, entra.address["functions"], entra.address["key"])


@pytest.fixture(scope="module")
def directory(session: ClientSession, entra: Kit) -> Tenant:
    """The tenant of that app."""
    return Tenant(session, entra.address["graph"])


@pytest.fixture
async def somebody(directory: Tenant, numbers: Callable[[], int]) -> dict[str, Any]:
    """A user that no other test touches."""
    return await directory.new_user(f"somebody{numbers()}@contoso.com")


@pytest.fixture(scope="module")
async def foreign(app: Api) -> str:
    """The id of a request that a submitter made whom no test plays again."""
    reply = await submitted(app, signed_in(SUBMIT), {"user": "adele@contoso.com"})
    assert reply.status == 200
    return str(reply.json["id"])


async def submitted(app: Api, caller: dict[str, str], body: Any, path: str = "revocations", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body)
    return await app.call("POST", path, headers=caller | named, data=data)


async def called(app: Api, route: str, caller: dict[str, str], request_id: str) -> Reply:
    method, path = route.format(id=request_id).split()
    data = json.dumps({"user": "bob@contoso.com"}) if path == "revocations" and method == "POST" else None
    return await app.call(method, path, headers=caller, data=data)


def is_problem(reply: Reply, status: int) -> bool:
    described = reply.headers["Content-Type"] == "application/problem+json" and reply.json["status"] == status
    return reply.status == status and described and bool(reply.json["detail"])


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("route", EXPECTED)
async def test_each_role_opens_its_routes(
    app: Api, foreign: str, somebody: dict[str, Any], route: str, roles: str
) -> None:
    """Every role against every route; a 403 names the role to ask for, and nothing was done."""
    caller = signed_in(*ROLES[roles], object_id=somebody["id"])
    reply = await called(app, route, caller, foreign)
    assert reply.status == EXPECTED[route][roles], reply.text
    if reply.status == 403:
        assert is_problem(reply, 403)
        assert "Revocations." in reply.json["detail"]
        assert "WWW-Authenticate" not in reply.headers


@pytest.mark.parametrize("route", [*ROUTES, "POST me/revocations"])
async def test_without_a_principal_nobody_is_let_in(app: Api, foreign: str, route: str) -> None:
    """401 with a challenge on every route but the open ones."""
    reply = await called(app, route, {}, foreign)
    assert is_problem(reply, 401)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", [*ROUTES, "POST me/revocations"])
async def test_a_function_key_is_no_principal(app: Api, foreign: str, route: str) -> None:
    """What opened the app before the setting was turned on opens it no more."""
    reply = await called(app, route, app.key, foreign)
    assert is_problem(reply, 401)


SOMEONE = "8f5d1c2e-0000-4000-8000-0000000000aa"
CLAIMS = person_claims(SOMEONE, SUBMIT, READ, CONFIRM)
BAD = {
    "not base64": "!!!",
    "url-safe base64": encoded(content(person_claims(SOMEONE, SUBMIT, name="???>>>~~~"))).replace("/", "_"),
    "not JSON": "ew==",
    "base64 without its padding": "e30",
    "no object": encoded([]),
    "no claims": encoded({"auth_typ": "aad"}),
    "claims of a wrong type": encoded(content(CLAIMS) | {"claims": "roles"}),
    "a claim of a wrong type": encoded(content([*CLAIMS, claim("roles", [SUBMIT])])),
    "another provider": encoded(content(CLAIMS, auth_typ="google")),
    "no provider": encoded(content(CLAIMS, auth_typ=None)),
    "no object id": encoded(content([claim("roles", SUBMIT), claim("name", "Adele")])),
    "an object id that is none": encoded(content([claim("oid", "adele@contoso.com"), claim("roles", SUBMIT)])),
    "two object ids": encoded(content([*CLAIMS, claim("oid", str(uuid.UUID(int=1)))])),
    "oversized": encoded(content([claim("x", "y" * 5_000)])),
    "the plain id": SOMEONE,
    "a token": "eyJhbGciOiJub25lIn0.eyJvaWQiOiJ4In0.",
}


@pytest.mark.parametrize("name", BAD)
async def test_a_malformed_principal_is_no_principal(app: Api, name: str) -> None:
    """401, never a fault of the app."""
    reply = await app.call("GET", "revocations", headers={HEADER: BAD[name]})
    assert is_problem(reply, 401)
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert SOMEONE not in reply.text


async def test_a_doubled_principal_is_no_principal(app: Api, session: ClientSession) -> None:
    """Whoever adds a second header gets neither identity."""
    headers = [(HEADER, signed_in(READ)[HEADER]), (HEADER, signed_in(SUBMIT)[HEADER])]
    async with session.get(f"{app.root}/revocations", headers=headers) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-MS-CLIENT-PRINCIPAL-ID": SOMEONE, "X-MS-CLIENT-PRINCIPAL-NAME": "adele@contoso.com"},
        {"X-MS-CLIENT-PRINCIPAL-ROLES": SUBMIT, "X-MS-CLIENT-PRINCIPAL-IDP": "aad"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlcyI6WyJSZXZvY2F0aW9ucy5SZWFkIl19."},
        {"X-MS-TOKEN-AAD-ACCESS-TOKEN": "eyJhbGciOiJub25lIn0.e30."},
    ],
)
async def test_no_other_header_names_a_caller(app: Api, headers: dict[str, str]) -> None:
    """The app reads one header; a token that App Service did not turn into it is nothing."""
    assert is_problem(await app.call("GET", "revocations", headers=headers), 401)


@pytest.mark.parametrize("role", ["revocations.read", "Revocations.Readonly", "Revocations.*", "Global Administrator"])
async def test_a_role_of_another_name_opens_nothing(app: Api, role: str) -> None:
    """Roles are compared exactly."""
    assert is_problem(await app.call("GET", "revocations", headers=signed_in(role)), 403)


async def test_a_caller_is_told_before_its_request_is_read(app: Api) -> None:
    """A stranger learns nothing about its body, and a caller without the role neither."""
    for caller, status in (({}, 401), (signed_in(READ), 403)):
        assert is_problem(await app.call("POST", "revocations", headers=caller, data="{"), status)


async def test_what_was_refused_was_not_done(app: Api, directory: Tenant, somebody: dict[str, Any]) -> None:
    """A 401 or 403 means that nothing happened."""
    for caller in ({}, app.key, signed_in(), signed_in(READ), signed_in(CONFIRM), application(READ)):
        reply = await submitted(app, caller, {"user": somebody["id"]})
        assert reply.status in (401, 403)
    assert await directory.served(somebody["id"]) == []


@pytest.mark.parametrize("path", ["revocations", "me/revocations"])
async def test_no_web_page_acts_with_its_visitors_sign_in(
    app: Api, directory: Tenant, somebody: dict[str, Any], path: str
) -> None:
    """A post that a stranger's page sends with a browser's cookie is refused; a page with a token of its own is not."""
    caller = signed_in(SUBMIT, object_id=somebody["id"]) | {"Origin": "https://evil.example.com"}
    body = {"user": somebody["id"]} if path == "revocations" else None
    assert is_problem(await submitted(app, caller, body, path), 403)
    assert await directory.served(somebody["id"]) == []
    assert (await submitted(app, caller, body, path, Authorization="Bearer e30.e30.x")).status == 200


async def test_open_routes_stay_open(app: Api, foreign: str) -> None:
    """Health tells nothing, and a signed link is its own key: a polling flow holds no token."""
    assert (await app.call("GET", "health")).status == 200
    reply = await app.call("GET", f"operations/{foreign}?sig=1.x", headers=signed_in(READ))
    assert is_problem(reply, 401)
    sent = await submitted(app, signed_in(SUBMIT), {"user": "bob@contoso.com"}, Prefer="respond-async")
    assert sent.status == 202
    assert (await app.call("GET", sent.headers["Location"])).status in (200, 202)


async def test_the_log_knows_the_caller(app: Api, entra: Kit, somebody: dict[str, Any]) -> None:
    """Object id, name and client, in the answer, to a reader, and in the table."""
    caller = str(uuid.uuid4())
    reply = await submitted(
        app, signed_in(SUBMIT, object_id=caller.upper(), name="Ada Admin"), {"user": somebody["id"]}
    )
    expected = {"kind": "entra", "id": caller, "name": "Ada Admin", "appId": CLIENT}
    assert reply.json["requestedBy"] == expected
    read = await app.call("GET", f"revocations/{reply.json['id']}", headers=signed_in(READ))
    assert read.json["requestedBy"] == expected
    request_id = reply.json["id"]
    async with TableClient.from_connection_string(entra.address["connectionString"], "Revocations") as table:
        row = await table.get_entity(request_id[:4], request_id)
    assert (row["RequestedByKind"], row["RequestedById"], row["RequestedByAppId"]) == ("entra", caller, CLIENT)


async def test_an_application_submits_as_itself(app: Api, somebody: dict[str, Any]) -> None:
    """A Logic App's managed identity has roles, an object id and a client id, and no name."""
    reply = await submitted(app, application(SUBMIT), {"user": somebody["id"]})
    assert reply.status == 200
    assert (reply.json["requestedBy"]["name"], reply.json["requestedBy"]["appId"]) == (None, CLIENT)


async def test_a_submitter_sees_its_own_requests_and_no_other(app: Api, foreign: str, somebody: dict[str, Any]) -> None:
    """By id in any case, its users, the list, and the history of a user others have revoked too."""
    caller = signed_in(SUBMIT)
    own = (await submitted(app, caller, {"users": [somebody["id"], "adele@contoso.com"]})).json["id"]
    for path in (f"revocations/{own}", f"revocations/{own}/users", f"revocations/{own.upper()}"):
        assert (await app.call("GET", path, headers=caller)).status == 200
    unknown = foreign[:-1] + ("0" if foreign[-1] != "0" else "1")
    refused = [
        await app.call("GET", f"revocations/{request_id}{rest}", headers=caller)
        for request_id in (foreign, foreign.upper(), unknown)
        for rest in ("", "/users", "/users?format=csv")
    ]
    assert all(is_problem(reply, 404) for reply in refused)
    assert len({reply.text for reply in refused}) == 1
    for path in ("revocations", "revocations?user=adele@contoso.com", f"revocations?user={somebody['id']}"):
        assert await listed(app, path, caller) == [own], path
    everything = await listed(app, "revocations", signed_in(READ))
    assert {own, foreign} <= set(everything)


async def test_a_short_page_still_leads_on(app: Api) -> None:
    """A list filtered to its caller is complete page by page."""
    caller, other = signed_in(SUBMIT), signed_in(SUBMIT)
    mine = []
    for who in (caller, other, caller, other, caller):
        reply = await submitted(app, who, {"user": "bob@contoso.com", "dryRun": True})
        mine += [reply.json["id"]] if who is caller else []
    assert await listed(app, "revocations?pageSize=1", caller) == mine[::-1]
    assert await listed(app, "revocations?pageSize=1&user=bob@contoso.com", caller) == mine[::-1]


async def listed(app: Api, path: str, caller: dict[str, str]) -> list[str]:
    found: list[str] = []
    link: str | None = path
    while link:
        reply = await app.call("GET", link, headers=caller)
        assert reply.status == 200
        found += [entry["id"] for entry in reply.json["value"]]
        link = reply.json.get("nextLink")
    return found


async def test_another_callers_token_of_a_page_opens_nothing(app: Api, foreign: str) -> None:
    """A continuation token is a place in a list, not a permission."""
    first = await app.call("GET", "revocations?pageSize=1", headers=signed_in(READ))
    stolen = await listed(app, first.json["nextLink"], signed_in(SUBMIT))
    assert stolen == []
    assert foreign


async def test_idempotency_keys_are_each_callers_own(app: Api, somebody: dict[str, Any]) -> None:
    """The same key of another caller is another request and shows nothing of the first."""
    caller, key = str(uuid.uuid4()), str(uuid.uuid4())
    body = {"user": somebody["id"], "dryRun": True}
    first = await submitted(app, signed_in(SUBMIT, object_id=caller), body, Idempotency_Key=key)
    again = await submitted(app, signed_in(SUBMIT, object_id=caller, name="renamed"), body, Idempotency_Key=key)
    other = await submitted(app, signed_in(SUBMIT), body, Idempotency_Key=key)
    assert first.json["id"] == again.json["id"] != other.json["id"]
    assert other.status == 200


async def test_a_person_ends_its_own_sessions(app: Api, directory: Tenant, somebody: dict[str, Any]) -> None:
    """No role, no body, nobody named: the caller is revoked, proven, and may read how it went."""
    caller = signed_in(object_id=somebody["id"])
    reply = await submitted(app, caller, None, "me/revocations")
    assert (reply.status, reply.json["status"], reply.json["source"]) == (200, "succeeded", "http")
    assert (reply.user["userId"], reply.user["status"]) == (somebody["id"], "verified")
    assert len(await directory.served(somebody["id"])) == 1
    request_id = reply.json["id"]
    for path in (f"revocations/{request_id}", f"revocations/{request_id}/users"):
        assert (await app.call("GET", path, headers=caller)).status == 200
        assert (await app.call("GET", path, headers=signed_in())).status == 403
        assert (await app.call("GET", path, headers=signed_in(SUBMIT))).status == 404


async def test_own_sessions_keep_key_preference_and_reason(
    app: Api, directory: Tenant, somebody: dict[str, Any]
) -> None:
    """The door is another, the rules are the same."""
    caller, key = signed_in(object_id=somebody["id"]), str(uuid.uuid4())
    body = {"reason": "lost phone"}
    first = await submitted(app, caller, body, "me/revocations", Idempotency_Key=key, Prefer="wait=60")
    again = await submitted(app, caller, body, "me/revocations", Idempotency_Key=key)
    assert first.json["id"] == again.json["id"]
    assert (first.json["reason"], first.headers["Preference-Applied"]) == ("lost phone", "wait=60")
    other = await submitted(app, caller, {"reason": "another"}, "me/revocations", Idempotency_Key=key)
    assert is_problem(other, 409)
    assert len(await directory.served(somebody["id"])) == 1
    later = await submitted(app, caller, body, "me/revocations", Prefer="respond-async")
    assert later.status == 202


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"user": "bob@contoso.com"}, ["/user"]),
        ({"users": ["bob@contoso.com"], "reason": "x"}, ["/users"]),
        ({"groups": ["x"], "dryRun": True, "exclude": []}, ["/groups", "/dryRun", "/exclude"]),
        ({"id": SOMEONE, "reason": 5}, ["/id", "/reason"]),
        ([], [""]),
        ("reason", [""]),
    ],
)
async def test_own_sessions_take_a_reason_and_nothing_else(
    app: Api, directory: Tenant, somebody: dict[str, Any], body: Any, pointers: list[str]
) -> None:
    """Whoever names somebody else is refused, not quietly served with its own sessions."""
    caller = signed_in(SUBMIT, object_id=somebody["id"])
    reply = await submitted(app, caller, body, "me/revocations")
    assert is_problem(reply, 400)
    assert [fault["pointer"] for fault in reply.json["errors"]] == pointers
    assert await directory.served(somebody["id"]) == []


@pytest.mark.parametrize("roles", ROLES)
async def test_an_application_has_no_own_sessions(app: Api, roles: str) -> None:
    """403 says what to do instead."""
    reply = await submitted(app, application(*ROLES[roles]), None, "me/revocations")
    assert is_problem(reply, 403)
    assert "POST /api/revocations" in reply.json["detail"]


@pytest.mark.parametrize("route", ROUTES)
async def test_with_the_setting_off_a_principal_opens_nothing(api: Api, route: str) -> None:
    """A forged header is no key."""
    reply = await called(api, route, signed_in(SUBMIT, READ, CONFIRM), "0" * 12 + "-" + "0" * 32)
    assert (reply.status, reply.text) == (401, "")


@pytest.mark.parametrize(
    "forged", [signed_in(), signed_in(SUBMIT), {HEADER: "!!!"}], ids=["no role", "submit", "malformed"]
)
async def test_with_the_setting_off_a_principal_changes_nothing(
    api: Api, person: dict[str, Any], forged: dict[str, str]
) -> None:
    """Beside a key it neither names the caller nor takes anything away from it."""
    bare = await api.submit({"user": person["id"]})
    beside = await api.call("POST", "revocations", headers=api.key | forged, data=json.dumps({"user": person["id"]}))
    assert beside.status == 200
    assert beside.json["requestedBy"] == bare.json["requestedBy"]
    assert beside.json["requestedBy"]["kind"] == "key"
    for path in (f"revocations/{bare.json['id']}", "revocations?pageSize=1", "readiness"):
        assert (await api.call("GET", path, headers=api.key | forged)).status == 200


@pytest.mark.parametrize("caller", ["principal", "key", "both"])
async def test_with_the_setting_off_own_sessions_are_no_route(api: Api, caller: str) -> None:
    """404 without a body, as for anything the host does not know."""
    headers = {"principal": signed_in(), "key": api.key, "both": api.key | signed_in()}[caller]
    reply = await api.call("POST", "me/revocations", headers=headers, data="{}")
    assert (reply.status, reply.text) == (404, "")
