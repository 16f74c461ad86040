"""The shipped flows with a managed identity; the tests are in App Service authentication's place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from principals import READ, SUBMIT, application
from workflow_engine import Connector
from workflows import FOLDER, run, tables

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from clients import Api, Tenant

AUDIENCE = "00000000-0000-4000-8000-000000000003"


def tokens(*roles: str, audience: str = AUDIENCE) -> Any:
    """What App Service makes of the identity's token: a principal for the right audience, otherwise nothing."""
    principal = application(*roles)
    return lambda asked: principal if asked == audience else {}


async def test_a_logic_app_revokes_as_its_identity(app: Api, session: ClientSession, user: dict[str, Any]) -> None:
    """No key anywhere; the request is known as the application's."""
    flow = run("logic-app-identity", session, Connector(), root=app.root.removesuffix("/api"), tokens=tokens(SUBMIT))
    await flow.start({"user": user["id"], "reason": "INC-7"})
    assert (flow.status, flow.error) == ("Succeeded", None)
    assert flow.results["Result"]["outputs"]["requestedBy"]["kind"] == "entra"
    assert not any("x-functions-key" in headers for _, _, headers in flow.requests)


async def test_a_playbook_revokes_as_its_identity(
    app: Api, directory: Tenant, session: ClientSession, user: dict[str, Any]
) -> None:
    """The playbook too, with one failing account behind."""
    body = json.loads((FOLDER / "payloads" / "incident.json").read_text())
    entities = [{"kind": "Account", "properties": {"aadUserId": user["id"]}}]
    entities += [{"kind": "Account", "properties": {"accountName": "nobody", "upnSuffix": "contoso.com"}}]
    body["object"]["properties"]["relatedEntities"] = entities
    root, connector = app.root.removesuffix("/api"), Connector()
    flow = await run("playbook-incident-identity", session, connector, root=root, tokens=tokens(SUBMIT)).start(body)
    (comment,) = connector.bodies("post", "/Incidents/Comment")
    assert [row["Result"] for row in tables(comment["message"])[1]] == ["verified", "failed"]
    assert (flow.status, flow.error["code"]) == ("Failed", "partiallySucceeded")
    assert len(await directory.served(user["id"])) == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [(tokens(SUBMIT, audience=f"{AUDIENCE}/"), "401"), (tokens(READ), "403")],
    ids=["slash", "role"],
)
async def test_a_wrong_audience_and_a_missing_role_are_told(
    app: Api, session: ClientSession, user: dict[str, Any], given: Any, status: str
) -> None:
    """A slash too many is a 401, a role that is missing a 403 that names it; the mail shows both."""
    connector = Connector()
    flow = run("logic-app-identity", session, connector, root=app.root.removesuffix("/api"), tokens=given)
    await flow.start({"user": user["id"]})
    (sent,) = connector.bodies("post", "/v2/Mail")
    (summary,) = tables(sent["Body"])[0]
    assert (flow.status, summary["Status"], summary["HTTP"]) == ("Failed", "refused", status)
    assert summary["Why"].strip()
