"""What the log knows of a caller, and what a caller sees of the log."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from azure.data.tables.aio import TableClient
from entra_calls import is_problem, submitted
from principals import CLIENT, READ, SUBMIT, application, signed_in

if TYPE_CHECKING:
    from clients import Api

    from local.up import Kit


async def test_the_log_knows_the_caller(app: Api, entra: Kit, user: dict[str, Any]) -> None:
    """Object id, name and client, in the answer, to a reader, and in the table."""
    caller = str(uuid.uuid4())
    reply = await submitted(app, signed_in(SUBMIT, object_id=caller.upper(), name="Ada Admin"), {"user": user["id"]})
    expected = {"kind": "entra", "id": caller, "name": "Ada Admin", "appId": CLIENT}
    assert reply.json["requestedBy"] == expected
    read = await app.call("GET", f"revocations/{reply.json['id']}", headers=signed_in(READ))
    assert read.json["requestedBy"] == expected
    request_id = reply.json["id"]
    async with TableClient.from_connection_string(entra.address["connectionString"], "Revocations") as table:
        row = await table.get_entity(request_id[:3], request_id)
    assert (row["RequestedByKind"], row["RequestedById"], row["RequestedByAppId"]) == ("entra", caller, CLIENT)


async def test_an_application_submits_as_itself(app: Api, user: dict[str, Any]) -> None:
    """A Logic App's managed identity has roles, an object id and a client id, and no name."""
    reply = await submitted(app, application(SUBMIT), {"user": user["id"]})
    assert reply.status == 200
    assert (reply.json["requestedBy"]["name"], reply.json["requestedBy"]["appId"]) == (None, CLIENT)


async def test_a_submitter_sees_its_own_requests_and_no_other(app: Api, foreign: str, user: dict[str, Any]) -> None:
    """By id in any case, its users, the list, and the history of a user others have revoked too."""
    caller = signed_in(SUBMIT)
    own = (await submitted(app, caller, {"users": [user["id"], "adele@contoso.com"]})).json["id"]
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
    for path in ("revocations", "revocations?user=adele@contoso.com", f"revocations?user={user['id']}"):
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


async def test_idempotency_keys_are_each_callers_own(app: Api, user: dict[str, Any]) -> None:
    """The same key of another caller is another request and shows nothing of the first."""
    caller, key = str(uuid.uuid4()), str(uuid.uuid4())
    body = {"user": user["id"], "dryRun": True}
    first = await submitted(app, signed_in(SUBMIT, object_id=caller), body, Idempotency_Key=key)
    again = await submitted(app, signed_in(SUBMIT, object_id=caller, name="renamed"), body, Idempotency_Key=key)
    other = await submitted(app, signed_in(SUBMIT), body, Idempotency_Key=key)
    assert first.json["id"] == again.json["id"] != other.json["id"]
    assert other.status == 200
