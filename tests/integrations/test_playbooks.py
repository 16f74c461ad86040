"""The Sentinel playbooks of ``integrations/sentinel-playbook``, from trigger to end, against the running app."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer
from clients import Api, App, Tenant
from workflow_engine import Connector, Run
from workflows import FOLDER, run, tables

COMMENT, TAG = ("post", "/Incidents/Comment"), ("put", "/Incidents")
INCIDENT = json.loads((FOLDER / "payloads" / "incident.json").read_text())["object"]["id"]
FOUND = {"get /Incidents/subscriptions": (200, {"id": INCIDENT})}


def payload(kind: str, *users: str) -> dict[str, Any]:
    """What a trigger brings for these users; ids or UPNs."""
    given: dict[str, Any] = json.loads((FOLDER / "payloads" / f"{kind}.json").read_text())
    if kind == "incident":
        entities = [{"kind": "Account", "properties": _named(user)} for user in users]
        given["object"]["properties"]["relatedEntities"] += entities
        del given["object"]["properties"]["relatedEntities"][:2]
    elif kind == "alert":
        given["Entities"] = [{"$id": str(at), "Type": "account", **_named(user)} for at, user in enumerate(users)]
    else:
        given["Entity"]["properties"] = _named(*users)
        given["IncidentArmID"] = INCIDENT
    return given


def _named(user: str) -> dict[str, Any]:
    name, _, suffix = user.partition("@")
    return {"accountName": name, "upnSuffix": suffix, "aadUserId": None} if suffix else {"aadUserId": user}


def playbook(api: Api, session: ClientSession, kind: str, **more: Any) -> Run:
    connector = Connector(dict(FOUND))
    root, key = api.root.removesuffix("/api"), api.key["x-functions-key"]
    return run(f"playbook-{kind}-key", session, connector, root=root, key=key, **more)


def comments(flow: Run) -> list[dict[str, str]]:
    """The rows of all comments, each on the right incident."""
    sent = flow.connector.bodies(*COMMENT)
    assert {comment["incidentArmId"] for comment in sent} == {INCIDENT}
    assert all(len(comment["message"]) < 30_000 for comment in sent)
    return [row for comment in sent for row in tables(comment["message"])[1]]


def summary(flow: Run) -> dict[str, str]:
    """The first comment's summary."""
    return tables(flow.connector.bodies(*COMMENT)[0]["message"])[0][0]


def tags(flow: Run) -> list[str]:
    """The tags added."""
    sent = flow.connector.bodies(*TAG)
    assert all(body["incidentArmId"] == INCIDENT for body in sent)
    return [tag["Tag"] for body in sent for tag in body["tagsToAdd"]["TagsToAdd"]]


@pytest.mark.parametrize("kind", ["incident", "alert"])
async def test_one_failing_user_in_the_middle_hides_nobody(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int], kind: str
) -> None:
    """The comment holds the whole table, both others are revoked, and tag and run tell: 200 is no success."""
    first, last = [await tenant.new_user(f"soc{numbers()}@contoso.com") for _ in range(2)]
    users = (first["id"], "nobody@contoso.com", last["userPrincipalName"])
    flow = await playbook(api, session, kind).start(payload(kind, *users))
    assert [(row["User"], row["Result"]) for row in comments(flow)] == [
        (first["userPrincipalName"], "verified"),
        ("nobody@contoso.com", "failed"),
        (last["userPrincipalName"], "verified"),
    ]
    assert comments(flow)[1]["Why"]
    assert comments(flow)[1]["What to do"]
    assert tags(flow) == ["revocation-partiallySucceeded"]
    assert (flow.status, flow.error["code"]) == ("Failed", "partiallySucceeded")
    assert {entry["userId"] for entry in await tenant.served(first["id"], last["id"])} == {first["id"], last["id"]}


@pytest.mark.parametrize("kind", ["incident", "alert", "entity"])
async def test_when_all_are_revoked_the_run_succeeds(
    api: Api, tenant: Tenant, session: ClientSession, person: dict[str, Any], kind: str
) -> None:
    """One account: the comment on the right incident, the tag, a green run, and the incident's number as the reason."""
    flow = await playbook(api, session, kind).start(payload(kind, person["id"]))
    assert (flow.status, flow.error, tags(flow)) == ("Succeeded", None, ["revocation-succeeded"])
    (row,) = comments(flow)
    assert (row["User"], row["Result"]) == (person["userPrincipalName"], "verified")
    assert len(await tenant.served(person["id"])) == 1
    if kind == "incident":
        assert "1042" in flow.results["Result"]["outputs"]["reason"]


async def test_an_entity_without_an_incident_is_revoked_and_nothing_is_commented(
    api: Api, tenant: Tenant, session: ClientSession, person: dict[str, Any]
) -> None:
    """Started from the page of an entity: there is no incident, and the run ends as the request did."""
    flow = await playbook(api, session, "entity").start(payload("entity", person["id"]) | {"IncidentArmID": None})
    assert (flow.status, flow.connector.calls) == ("Succeeded", [])
    assert len(await tenant.served(person["id"])) == 1
    flow = await playbook(api, session, "entity").start(
        payload("entity", "nobody@contoso.com") | {"IncidentArmID": None}
    )
    assert (flow.status, flow.error["code"], flow.connector.calls) == ("Failed", "failed", [])


async def test_an_alert_without_an_incident_is_revoked_all_the_same(
    api: Api, tenant: Tenant, session: ClientSession, person: dict[str, Any]
) -> None:
    """The incident is looked for afterwards, and nobody waits for it."""
    flow = playbook(api, session, "alert")
    flow.connector.answers = {"get /Incidents/subscriptions": (404, {"code": "NotFound"})}
    await flow.start(payload("alert", person["id"]))
    assert (flow.status, flow.connector.bodies(*COMMENT)) == ("Succeeded", [])
    assert len(await tenant.served(person["id"])) == 1


async def test_an_incident_that_names_nobody_is_told(api: Api, session: ClientSession) -> None:
    """No accounts at all: one comment with the reason, and no green run."""
    flow = await playbook(api, session, "incident").start(payload("incident"))
    assert (summary(flow)["Status"], comments(flow), tags(flow)) == ("failed", [], ["revocation-failed"])
    assert summary(flow)["Why"]
    assert flow.status == "Failed"


async def test_a_refused_request_is_told(api: Api, session: ClientSession) -> None:
    """A body that is not of the shape: 400 and what is wrong with it stand in the comment."""
    body = payload("entity", "bob@contoso.com")
    del body["Entity"]["kind"]
    flow = await playbook(api, session, "entity").start(body)
    assert (flow.status, flow.error["code"], tags(flow)) == ("Failed", "refused", ["revocation-refused"])
    assert (summary(flow)["HTTP"], comments(flow)) == ("400", [])
    assert "/Entity/kind" in summary(flow)["Why"]


async def test_a_held_request_is_told(bulk: App, session: ClientSession, numbers: Callable[[], int]) -> None:
    """It is a 200: the comment says that nobody has been revoked yet and how to confirm, and the run is not green."""
    group = await bulk.tenant.group(await bulk.tenant.people(101, f"await{numbers()}-"))
    held = await bulk.api.reaches((await bulk.api.submit({"groups": [group]})).json["id"], "held")

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=held.text, content_type="application/json")

    async with RawTestServer(answer) as app:
        flow = playbook(bulk.api, session, "incident")
        flow.parameters = dict(flow.parameters) | {"RevokerUrl": str(app.make_url("")).rstrip("/")}
        await flow.start(payload("incident", "bob@contoso.com"))
    assert (flow.status, flow.error["code"], tags(flow)) == ("Failed", "held", ["revocation-held"])
    message = flow.connector.bodies(*COMMENT)[0]["message"]
    assert "Nobody has been revoked yet" in message
    assert f"POST {held.json['links']['confirm']}" in message
    await bulk.api.say(held.json["id"], "cancel")


async def test_an_app_that_does_not_answer_is_told(api: Api, session: ClientSession) -> None:
    """The incident learns that nothing is known."""
    flow = playbook(api, session, "incident")
    flow.parameters = dict(flow.parameters) | {"RevokerUrl": "http://127.0.0.1:9"}
    await flow.start(payload("incident", "bob@contoso.com"))
    assert (flow.status, flow.error["code"], tags(flow)) == ("Failed", "unanswered", ["revocation-unanswered"])
    assert summary(flow)["Status"] == "unanswered"


@pytest.mark.parametrize("is_lazy", [True, False])
@pytest.mark.parametrize(
    ("kind", "content"), [("text/html", b"<h1>Forbidden</h1>"), ("application/octet-stream", b"\0")]
)
async def test_a_page_of_a_gateway_is_told(
    api: Api, session: ClientSession, kind: str, content: bytes, *, is_lazy: bool
) -> None:
    """Not an answer of the app: a firewall's page, or bytes that hold nothing; the incident learns of its number."""

    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=403, body=content, content_type=kind)

    async with RawTestServer(refuse) as gateway:
        flow = playbook(api, session, "incident", is_lazy=is_lazy)
        flow.parameters = dict(flow.parameters) | {"RevokerUrl": str(gateway.make_url("")).rstrip("/")}
        await flow.start(payload("incident", "bob@contoso.com"))
    assert (flow.status, flow.error["code"], tags(flow)) == ("Failed", "unanswered", ["revocation-unanswered"])
    assert summary(flow)["HTTP"] == "403"


@pytest.mark.parametrize("path", [COMMENT, TAG])
async def test_an_incident_that_cannot_be_told_is_no_green_run(
    api: Api, session: ClientSession, person: dict[str, Any], path: tuple[str, str]
) -> None:
    """Everybody is revoked, but the playbook lacks its role in Sentinel: who looks at its runs must learn of it."""
    flow = playbook(api, session, "incident")
    flow.connector.answers = {" ".join(path): (403, {"code": "AuthorizationFailed"})}
    await flow.start(payload("incident", person["id"]))
    assert (flow.status, flow.error["code"]) == ("Failed", "incidentNotTold")


async def test_a_large_incident_is_waited_for_and_commented_in_parts(
    bulk: App, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """A hundred accounts, half of them unknown: a 202 followed to its end, and every row, none of them cut off."""
    known = await bulk.tenant.people(50, f"crowd{numbers()}-")
    unknown = [f"{'x' * 60}{number:03}@{'y' * 60}.{'z' * 60}.contoso.com" for number in range(50)]
    users = [user for pair in zip(known, unknown, strict=True) for user in pair]
    flow = await playbook(bulk.api, session, "incident").start(payload("incident", *users))
    rows = comments(flow)
    assert [row["Result"] for row in rows] == ["verified", "failed"] * 50
    assert [row["User"] for row in rows[1::2]] == unknown
    assert len(flow.requests) > 1
    assert flow.error["code"] == "partiallySucceeded"
