"""The Logic App of ``integrations/logic-app``, from its trigger to its end, against the running app."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from clients import Api, App, Tenant
from workflow_engine import Connector, Run
from workflows import run, tables, workflow

ANSWER = "post /approvalmail/$subscriptions"


def mail(connector: Connector) -> dict[str, Any]:
    """The only mail about a result."""
    (sent,) = connector.bodies("post", "/v2/Mail")
    return dict(sent)


def once(api: Api, session: ClientSession, name: str = "logic-app-key", **more: Any) -> Run:
    return run(name, session, Connector(), root=api.root.removesuffix("/api"), key=api.key["x-functions-key"], **more)


async def people(tenant: Tenant, numbers: Callable[[], int], count: int = 2) -> list[str]:
    """UPNs of users that no other test touches."""
    return [(await tenant.new_user(f"flow{numbers()}@contoso.com"))["userPrincipalName"] for _ in range(count)]


async def test_one_failing_user_in_the_middle_hides_nobody(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """The mail holds all three, the ones before and behind it are revoked, and the run fails: 200 is no success."""
    first, last = await people(tenant, numbers)
    flow = await once(api, session).start({"users": [first, "nobody@contoso.com", last], "reason": "INC-1 <b>"})
    assert (flow.status, flow.error["code"]) == ("Failed", "partiallySucceeded")
    sent = mail(flow.connector)
    (summary,), users = tables(sent["Body"])
    assert sent["Subject"] == "Session revocation: partiallySucceeded"
    assert (summary["Users"], summary["Proven"], summary["Failed"]) == ("3", "2", "1")
    assert [(row["User"], row["Result"]) for row in users] == [
        (first, "verified"),
        ("nobody@contoso.com", "failed"),
        (last, "verified"),
    ]
    assert users[1]["Why"]
    assert users[1]["What to do"]
    assert len(await tenant.served()) >= 2


async def test_when_all_are_revoked_the_run_succeeds(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """And the request knows the run it came from; the same run again is the same request, and revokes nobody twice."""
    (upn,) = await people(tenant, numbers, 1)
    flow = await once(api, session).start({"user": upn, "reason": "leaver"})
    assert (flow.status, flow.error) == ("Succeeded", None)
    resource = flow.results["Result"]["outputs"]
    assert resource["correlation"]["workflowRunId"] == flow.name_of_run
    again = await once(api, session, name_of_run=flow.name_of_run).start({"user": upn, "reason": "leaver"})
    assert again.results["Result"]["outputs"]["id"] == resource["id"]
    assert len(await tenant.served(resource["users"][0]["userId"])) == 1


async def test_a_dry_run_is_no_failure(api: Api, session: ClientSession) -> None:
    """Planned is what a dry run ends as."""
    flow = await once(api, session).start({"user": "bob@contoso.com", "dryRun": True})
    assert (flow.status, mail(flow.connector)["Subject"]) == ("Succeeded", "Session revocation: planned")


@pytest.mark.parametrize("keeps_headers", [True, False], ids=["logic-apps", "power-automate"])
async def test_a_202_is_followed_to_the_end(
    bulk: App, session: ClientSession, numbers: Callable[[], int], *, keeps_headers: bool
) -> None:
    """More users than one call carries out: polled through Location, with the key and without, until it is over."""
    members = await bulk.tenant.people(120, f"long{numbers()}-")
    flow = await once(bulk.api, session, keeps_headers=keeps_headers).start({"users": members})
    assert flow.status == "Succeeded"
    (method, _, _), *polls = flow.requests
    assert method == "POST"
    assert polls
    assert all(("x-functions-key" in headers) == keeps_headers for _, _, headers in polls)
    sent = mail(flow.connector)["Body"]
    (summary,), users = tables(sent)
    assert (summary["Users"], summary["Proven"], len(users)) == ("120", "120", 100)
    assert f"/api/revocations/{summary['Request']}/users" in sent
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)


@pytest.mark.parametrize(("answer", "ends"), [("Revoke", "succeeded"), ("Leave it", "held"), (None, "held")])
async def test_a_held_request_asks_a_person(
    bulk: App, session: ClientSession, numbers: Callable[[], int], answer: str | None, ends: str
) -> None:
    """The mail names the number; only the word that says so confirms it, and silence does not."""
    members = await bulk.tenant.people(101, f"asked{numbers()}-")
    flow = once(bulk.api, session)
    flow.connector.answers[ANSWER] = (200, {"SelectedOption": answer}) if answer else (408, None)
    await flow.start({"groups": [await bulk.tenant.group(members)], "reason": "INC-2 <script>"})
    (asked,) = [call["body"]["Message"] for call in flow.connector.calls if "approvalmail" in call["path"]]
    assert asked["Subject"] == "Revoke the sessions of 101 users?"
    assert "INC-2 &lt;script>" in asked["Body"]
    assert mail(flow.connector)["Subject"] == f"Session revocation: {ends}"
    assert flow.status == ("Succeeded" if ends == "succeeded" else "Failed")
    assert len(await bulk.tenant.served(*members)) == (101 if ends == "succeeded" else 0)
    if ends == "held":
        await bulk.api.say(flow.results["Result"]["outputs"]["id"], "cancel")


@pytest.mark.parametrize("json_types", [("application/json",), ("application/json", "application/problem+json")])
async def test_a_refused_request_is_told_with_its_reason(
    api: Api, session: ClientSession, json_types: tuple[str, ...]
) -> None:
    """400: nobody was touched; the mail says why, whether the engine takes a problem for JSON or not."""
    flow = await once(api, session, json_types=json_types).start({"users": ["8f5d-typo"]})
    assert (flow.status, flow.error["code"]) == ("Failed", "refused")
    (summary,), users = tables(mail(flow.connector)["Body"])
    assert (summary["Status"], summary["HTTP"], users) == ("refused", "400", [])
    assert summary["Why"].startswith("Nothing was done")
    assert "/users/0" in summary["Why"]


async def test_a_wrong_key_is_told(api: Api, session: ClientSession) -> None:
    """401 has no body; the mail shows the number."""
    flow = once(api, session)
    flow.parameters = dict(flow.parameters) | {"submitKey": "wrong"}
    await flow.start({"user": "bob@contoso.com"})
    (summary,) = tables(mail(flow.connector)["Body"])[0]
    assert (flow.status, flow.error["code"], summary["HTTP"]) == ("Failed", "unanswered", "401")


async def test_an_app_that_does_not_answer_is_told(session: ClientSession, api: Api) -> None:
    """No connection: the run says so, it does not end green."""
    flow = once(api, session)
    flow.parameters = dict(flow.parameters) | {"revokerUrl": "http://127.0.0.1:9"}
    await flow.start({"user": "bob@contoso.com"})
    assert (flow.status, flow.error["code"]) == ("Failed", "unanswered")
    assert mail(flow.connector)["Subject"] == "Session revocation: unanswered"


async def test_what_takes_too_long_is_told(bulk: App, session: ClientSession, numbers: Callable[[], int]) -> None:
    """The call's own limit ends the waiting; the request goes on."""
    members = await bulk.tenant.people(30, f"late{numbers()}-")
    definition = workflow("logic-app-key")["properties"]["definition"]
    definition["actions"]["Revoke_sessions"]["limit"]["timeout"] = "PT1S"
    flow = await once(bulk.api, session, definition=definition).start({"users": members})
    assert (flow.status, flow.error["code"]) == ("Failed", "unanswered")
    (request,) = (await bulk.api.get("revocations?pageSize=1")).json["value"]
    assert (await bulk.api.finished(request["id"])).json["status"] == "succeeded"


async def test_each_leaver_is_a_request_of_its_own(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """A key for each item: all are revoked, the unknown one in the middle is told, a repeated run changes nothing."""
    first, last = await people(tenant, numbers)
    leavers = [{"id": str(place), "user": upn} for place, upn in enumerate([first, "nobody@contoso.com", last])]
    flow = await once(api, session, "logic-app-for-each").start({"leavers": leavers})
    (rows,) = tables(mail(flow.connector)["Body"])
    assert [(row["User"], row["Result"]) for row in rows] == [
        (first, "succeeded"),
        ("nobody@contoso.com", "failed"),
        (last, "succeeded"),
    ]
    assert rows[1]["Why"]
    assert mail(flow.connector)["Subject"] == "Leavers' sessions: 1 of 3 not revoked"
    assert (flow.status, flow.error["code"]) == ("Failed", "notRevoked")
    again = await once(api, session, "logic-app-for-each", name_of_run=flow.name_of_run).start({"leavers": leavers})
    (same,) = tables(mail(again.connector)["Body"])
    assert [row["Request"] for row in same] == [row["Request"] for row in rows]


async def test_the_runs_name_alone_would_refuse_every_leaver_after_the_first(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """Why the item's id stands in the key: without it the second is a 409, and the flow says so."""
    definition = copy.deepcopy(workflow("logic-app-for-each")["properties"]["definition"])
    call = definition["actions"]["For_each_leaver"]["actions"]["Revoke_sessions"]
    call["inputs"]["headers"]["Idempotency-Key"] = "@{workflow().run.name}"
    leavers = [{"id": upn, "user": upn} for upn in await people(tenant, numbers)]
    flow = await once(api, session, "logic-app-for-each", definition=definition).start({"leavers": leavers})
    (rows,) = tables(mail(flow.connector)["Body"])
    assert [row["Result"] for row in rows] == ["succeeded", "refused"]
    assert rows[1]["HTTP"] == "409"
    assert rows[1]["Why"].strip()
