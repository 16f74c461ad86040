"""What stands in a query is done or refused, never left out in silence; and what callers find in their answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from outages import House

    from revoke_core.bootstrap import App
    from revoke_core.entrypoints.http.response import HttpResponse

UNKNOWN = "fe5df26e7595-" + "0" * 32
BODY = b'{"user": "adele@contoso.com"}'
ROUTES: Mapping[str, Callable[[App, HttpCall], Awaitable[HttpResponse]]] = {
    "submit": lambda app, call: app.submit.submit(call),
    "submit_payload": lambda app, call: app.submit.submit_payload(call, "risky-users"),
    "request": lambda app, call: app.read.request(call, UNKNOWN),
    "operation": lambda app, call: app.read.operation(call, UNKNOWN),
    "users": lambda app, call: app.read.users(call, UNKNOWN),
    "requests": lambda app, call: app.read.requests(call),
    "readiness": lambda app, call: app.read.readiness(call),
    "health": lambda app, call: app.read.health(call),
    "description": lambda app, call: app.read.description(call),
    "confirm": lambda app, call: app.control.confirm(call, UNKNOWN),
    "cancel": lambda app, call: app.control.cancel(call, UNKNOWN),
    "cancel_open": lambda app, call: app.control.cancel_open(call),
    "retry": lambda app, call: app.control.retry(call, UNKNOWN),
}


def pointers(answer: HttpResponse) -> list[str]:
    return [fault["pointer"] for fault in json.loads(answer.body)["errors"]]


def test_every_route_is_asked(whole: House) -> None:
    """Each public method of the route classes; the caller's own sessions are asked where Entra is on."""
    routes = (whole.app.submit, whole.app.read, whole.app.control)
    named = {name for part in routes for name in dir(part) if not name.startswith("_")}
    assert named - {"submit_own"} == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
async def test_an_unknown_parameter_is_named_on_every_route(whole: House, route: str) -> None:
    """Its caller believes that it does something; the host's own, in any case, are never unknown."""
    answer = await ROUTES[route](whole.app, HttpCall(query={"top": "5", "Code": "k", "clientID": "default"}, body=BODY))
    assert (answer.status, pointers(answer)) == (400, ["/top"])
    platform = await ROUTES[route](whole.app, HttpCall(query={"code": "k", "ClientId": "default"}, body=b"{"))
    assert b"query parameter" not in platform.body


@pytest.mark.parametrize("name", ["user", "users", "groups", "filter", "dryRun", "exclude", "idempotencyKey", "sig"])
async def test_a_submit_takes_nothing_from_its_query(whole: House, name: str) -> None:
    """``?dryRun=true`` that is left out would revoke somebody whom its caller only meant to look at."""
    (user,) = await whole.directory.people(1, f"query{name}")
    call = HttpCall(query={name: "true"}, body=json.dumps({"user": user}).encode())
    answer = await whole.app.submit.submit(call)
    assert (answer.status, pointers(answer)) == (400, [f"/{name}"])
    assert b"JSON body" in answer.body
    assert await whole.directory.served() == []


async def test_a_user_whose_plus_sign_was_not_encoded_is_found(whole: House) -> None:
    """A plus sign in a query arrives as a blank, and no user's name holds a blank."""
    await whole.submit({"user": "adele+mail@contoso.com"})
    for given in ("adele mail@contoso.com", "adele+mail@contoso.com", " Adele mail@contoso.com "):
        answer = await whole.app.read.requests(HttpCall(query={"user": given}))
        assert (answer.status, len(json.loads(answer.body)["value"])) == (200, 1)


@pytest.mark.parametrize("given", ["sid:S-1-5-21-1-2-3-1104", "mail:adele@contoso.com", "unresolved:adele"])
async def test_no_query_asks_for_a_user_as_the_readers_of_payloads_name_them(whole: House, given: str) -> None:
    """Users are found by object id and UPN."""
    answer = await whole.app.read.requests(HttpCall(query={"user": given}))
    assert (answer.status, pointers(answer)) == (400, ["/user"])


async def test_a_key_in_the_body_is_the_key_of_the_header(whole: House) -> None:
    """For callers that cannot set headers: one scope, no part of what is compared, and never two keys."""
    (user, other) = await whole.directory.people(2, "keyed")
    key = f"key-{user}"
    _, first = await whole.submit({"user": user}, idempotency_key=key)
    _, same = await whole.submit({"user": user, "idempotencyKey": key})
    _, both = await whole.submit({"user": user, "idempotencyKey": key}, idempotency_key=key)
    assert first["id"] == same["id"] == both["id"]
    assert (await whole.submit({"user": other, "idempotencyKey": key}))[0] == 409
    status, refused = await whole.submit({"user": user, "idempotencyKey": "another"}, idempotency_key=key)
    assert (status, refused["errors"][0]["pointer"]) == (400, "/idempotencyKey")
    for bad in ("", "ü", "x" * 256, 5, " x"):
        assert (await whole.submit({"user": user, "idempotencyKey": bad}))[0] == 400
    assert await whole.directory.served() == [user]


async def test_a_retry_takes_its_key_from_the_body_too(whole: House) -> None:
    """Repeated, it is one retry; anything else in its body is refused."""
    _, failed = await whole.submit({"user": "nobody-to-retry@contoso.com"})
    answers = [
        await whole.app.control.retry(HttpCall(body=body), failed["id"])
        for body in (b'{"idempotencyKey": "again"}', b'{"idempotencyKey": "again"}', b"", b'{"users": 3}')
    ]
    ids = [json.loads(answer.body).get("id") for answer in answers]
    assert ids[0] == ids[1] != ids[2]
    assert [answer.status for answer in answers] == [202, 202, 202, 400]


async def test_the_resource_says_where_its_users_go_on(whole: House) -> None:
    """The first 100 stand in it; the link leads to the others, and there is none where these are all."""
    users = await whole.directory.people(120, "paged")
    _, answer = await whole.submit({"users": users, "dryRun": True})
    await whole.app.queue.work(json.dumps({"requestId": answer["id"]}))
    found: dict[str, Any] = await whole.status(answer["id"])
    query = dict([found["usersNextLink"].partition("?")[2].split("=", 1)])
    page = json.loads((await whole.app.read.users(HttpCall(query=query), found["id"])).body)
    assert [row["input"] for row in found["users"] + page["value"]] == users
    assert "nextLink" not in page
    _, small = await whole.submit({"user": users[0], "dryRun": True})
    assert "usersNextLink" not in await whole.status(small["id"])


async def test_confirming_while_users_are_looked_up_says_wait(strict: House) -> None:
    """The number is not known yet: that is another thing than a request that is not held."""
    members = await strict.directory.people(3, "early")
    group = await strict.directory.group("early", members)
    _, answer = await strict.submit({"groups": [group]})
    early = await strict.app.control.confirm(HttpCall(body=b'{"users": 3}'), answer["id"])
    assert (early.status, early.headers["Retry-After"]) == (409, "5")
    assert b"looked up" in early.body
    await strict.app.queue.work(json.dumps({"requestId": answer["id"]}))
    assert (await strict.app.control.confirm(HttpCall(body=b'{"users": 3}'), answer["id"])).status == 202


async def test_an_empty_body_is_answered_with_the_example_of_its_route(whole: House) -> None:
    """Who confirms is shown a confirmation."""
    confirm = await whole.app.control.confirm(HttpCall(), UNKNOWN)
    cancel = await whole.app.control.cancel_open(HttpCall())
    assert json.loads(confirm.body)["errors"][0]["detail"].endswith('{"users": 340}')
    assert '{"requestedBy"' in json.loads(cancel.body)["errors"][0]["detail"]
