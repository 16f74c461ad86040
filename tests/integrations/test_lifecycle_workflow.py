"""The custom task extension of ``integrations/lifecycle-workflow``, from call-out to resumed workflow."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from clients import Api, Tenant
from workflow_engine import Connector, Run
from workflows import FOLDER, run


class Graph:
    """Lifecycle Workflows in Graph beta: notes what resumes a task, and answers with ``status``."""

    def __init__(self) -> None:
        self.root = ""
        self.status = 204
        self.resumed: list[tuple[str, str, Any]] = []

    async def resume(self, request: web.Request) -> web.Response:
        """``POST …/resume``."""
        token = request.headers.get("Authorization", "")
        self.resumed.append((request.path, token, await request.json()))
        return web.Response(status=self.status)


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    server = Graph()
    app = web.Application()
    app.router.add_post("/{path:.*}", server.resume)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def call_out(**subject: Any) -> dict[str, Any]:
    """What Lifecycle Workflows sends for one leaver."""
    given: dict[str, Any] = json.loads((FOLDER / "payloads" / "lifecycle.json").read_text())
    given["data"]["subject"] |= subject
    given["data"]["taskProcessingResult"]["id"] = f"result of {subject.get('id') or subject['userPrincipalName']}"
    return given


def extension(api: Api, session: ClientSession, graph: Graph, **more: Any) -> Run:
    root, key = api.root.removesuffix("/api"), api.key["x-functions-key"]
    flow = run("lifecycle-key", session, Connector(), root=root, key=key, **more)
    flow.tokens = lambda audience: {"Authorization": f"Bearer for {audience}"}
    flow.parameters = dict(flow.parameters) | {"graphUrl": graph.root}
    return flow


def told(graph: Graph) -> str:
    """How the task ended, as the workflow was told once."""
    ((path, token, body),) = graph.resumed
    assert path == f"/beta{call_out(id='x')['data']['callbackUriPath']}"
    assert token == f"Bearer for {graph.root}"
    assert body["type"] == "lifecycleEvent"
    return str(body["data"]["operationStatus"])


async def test_a_leaver_who_is_revoked_completes_the_task(
    api: Api, tenant: Tenant, session: ClientSession, graph: Graph, person: dict[str, Any]
) -> None:
    """The leaver, never the manager; a repeated call-out is the same request; and the reason names the workflow."""
    body = call_out(id=person["id"], userPrincipalName=person["userPrincipalName"])
    flow = await extension(api, session, graph).start(body)
    assert (flow.status, flow.error, told(graph)) == ("Succeeded", None, "Completed")
    resource = flow.results["Result"]["outputs"]
    assert "Real-time leaver" in resource["reason"]
    assert [user["userId"] for user in resource["users"]] == [person["id"]]
    again = await extension(api, session, graph).start(body)
    assert again.results["Result"]["outputs"]["id"] == resource["id"]
    assert len(await tenant.served(person["id"])) == 1


async def test_a_leaver_who_is_not_revoked_fails_the_task(api: Api, session: ClientSession, graph: Graph) -> None:
    """The request is a 200 with status failed: the workflow is told Failed, and the run says why."""
    body = call_out(id=None, email=None, userPrincipalName="nobody@contoso.com")
    flow = await extension(api, session, graph).start(body)
    assert (flow.status, flow.error["code"], told(graph)) == ("Failed", "failed", "Failed")
    assert flow.error["message"] == flow.results["Result"]["outputs"]["users"][0]["error"]["message"]


async def test_a_guest_whose_sessions_are_elsewhere_fails_the_task(
    api: Api, session: ClientSession, graph: Graph
) -> None:
    """Graph would answer 200 and do nothing; a skipped user is no completed task."""
    body = call_out(id=None, email=None, userPrincipalName="guest_fabrikam.com#EXT#@contoso.com")
    flow = await extension(api, session, graph).start(body)
    assert (flow.status, told(graph)) == ("Failed", "Failed")


async def test_a_revoker_that_does_not_answer_fails_the_task(api: Api, session: ClientSession, graph: Graph) -> None:
    """The workflow is not left waiting for its timeout."""
    flow = extension(api, session, graph)
    flow.parameters = dict(flow.parameters) | {"revokerUrl": "http://127.0.0.1:9"}
    await flow.start(call_out(userPrincipalName="bob@contoso.com", id=None))
    assert (flow.status, flow.error["code"], told(graph)) == ("Failed", "unanswered", "Failed")


async def test_a_workflow_that_cannot_be_told_is_no_green_run(
    api: Api, session: ClientSession, graph: Graph, person: dict[str, Any]
) -> None:
    """The leaver is revoked, but the Logic App may not resume the workflow: its run fails."""
    graph.status = 403
    flow = await extension(api, session, graph).start(call_out(id=person["id"]))
    assert (flow.status, flow.error["code"]) == ("Failed", "workflowNotResumed")
