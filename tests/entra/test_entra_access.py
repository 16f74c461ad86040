"""Which callers may use which routes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from entra_calls import ROLES, ROUTES, SOMEONE, called, is_problem, submitted
from principals import CONFIRM, HEADER, READ, SUBMIT, application, claim, content, encoded, person_claims, signed_in

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from clients import Api, Tenant

# Who gets what from each route about another caller's request; written out, so that a change of the rules shows here.
EXPECTED = {
    "POST revocations": {"none": 403, "submit": 200, "read": 403, "confirm": 403, "all": 200},
    "POST revocations/from/risky-users": {"none": 403, "submit": 200, "read": 403, "confirm": 403, "all": 200},
    "GET revocations": {"none": 403, "submit": 200, "read": 200, "confirm": 200, "all": 200},
    "GET revocations/{id}": {"none": 403, "submit": 404, "read": 200, "confirm": 200, "all": 200},
    "GET revocations/{id}/users": {"none": 403, "submit": 404, "read": 200, "confirm": 200, "all": 200},
    "GET readiness": {"none": 403, "submit": 403, "read": 200, "confirm": 403, "all": 200},
    "POST me/revocations": {"none": 200, "submit": 200, "read": 200, "confirm": 200, "all": 200},
}


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("route", EXPECTED)
async def test_each_role_opens_its_routes(app: Api, foreign: str, user: dict[str, Any], route: str, roles: str) -> None:
    """Every role against every route; a 403 names the role to ask for, and nothing was done."""
    caller = signed_in(*ROLES[roles], object_id=user["id"])
    reply = await called(app, route, caller, foreign)
    assert reply.status == EXPECTED[route][roles], reply.text
    if reply.status == 403:
        assert is_problem(reply, 403)
        assert "Revocations." in reply.json["detail"]
        assert "WWW-Authenticate" not in reply.headers


@pytest.mark.parametrize("route", [*ROUTES, "POST me/revocations"])
async def test_without_a_principal_no_caller_is_accepted(app: Api, foreign: str, route: str) -> None:
    """401 with a challenge on every route but the open ones."""
    reply = await called(app, route, {}, foreign)
    assert is_problem(reply, 401)
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", [*ROUTES, "POST me/revocations"])
async def test_a_function_key_is_no_principal(app: Api, foreign: str, route: str) -> None:
    """What opened the app before the setting was turned on opens it no more."""
    reply = await called(app, route, app.key, foreign)
    assert is_problem(reply, 401)


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
    """A caller that adds a second header gets neither identity."""
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


async def test_a_caller_is_refused_before_its_request_is_read(app: Api) -> None:
    """An unknown caller learns nothing about its body, and a caller without the role neither."""
    for caller, status in (({}, 401), (signed_in(READ), 403)):
        assert is_problem(await app.call("POST", "revocations", headers=caller, data="{"), status)


async def test_what_was_refused_was_not_done(app: Api, directory: Tenant, user: dict[str, Any]) -> None:
    """A 401 or 403 means that nothing happened."""
    for caller in ({}, app.key, signed_in(), signed_in(READ), signed_in(CONFIRM), application(READ)):
        reply = await submitted(app, caller, {"user": user["id"]})
        assert reply.status in (401, 403)
    assert await directory.served(user["id"]) == []


@pytest.mark.parametrize("path", ["revocations", "me/revocations"])
async def test_no_web_page_acts_with_its_visitors_sign_in(
    app: Api, directory: Tenant, user: dict[str, Any], path: str
) -> None:
    """A post that a stranger's page sends with a browser's cookie is refused; a page with a token of its own is not."""
    caller = signed_in(SUBMIT, object_id=user["id"]) | {"Origin": "https://evil.example.com"}
    body = {"user": user["id"]} if path == "revocations" else None
    assert is_problem(await submitted(app, caller, body, path), 403)
    assert await directory.served(user["id"]) == []
    assert (await submitted(app, caller, body, path, Authorization="Bearer e30.e30.x")).status == 200


async def test_open_routes_stay_open(app: Api, foreign: str) -> None:
    """Health and the description tell nothing, and a signed link is its own key: a polling flow holds no token."""
    assert (await app.call("GET", "health")).status == 200
    assert (await app.call("GET", "openapi.json")).status == 200
    reply = await app.call("GET", f"operations/{foreign}?sig=1.x", headers=signed_in(READ))
    assert is_problem(reply, 401)
    sent = await submitted(app, signed_in(SUBMIT), {"user": "bob@contoso.com"}, Prefer="respond-async")
    assert sent.status == 202
    assert (await app.call("GET", sent.headers["Location"])).status in (200, 202)
