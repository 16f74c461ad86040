"""The Power Automate flow, from its trigger to its end, through the connector's operations, against the running app."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cloud_flow import FOLDER, CloudFlow, definition, operations
from workflow_engine import named_actions
from workflow_language import Call, Literal, Member, expressions_in
from workflows import ROOT, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import ClientSession
    from clients import Api, Tenant

ANSWERS = (ROOT / "docs" / "answers.md").read_text()


def started(api: Api, session: ClientSession, flow: dict[str, Any] | None = None, key: str | None = None) -> CloudFlow:
    """A run that is not started yet."""
    known = key or api.key["x-functions-key"]
    return CloudFlow(flow or definition(), session, root=api.root.removesuffix("/api"), key=known)


async def many(tenant: Tenant, mark: str) -> list[str]:
    """More users than one call carries out, an unknown one in the middle."""
    people = await tenant.people(24, mark)
    return [*people[:12], f"{mark}nobody@contoso.com", *people[12:]]


def table_of(flow: CloudFlow) -> list[dict[str, str]]:
    (rows,) = tables(flow.results["Result_table"]["outputs"]["body"])
    return rows


async def test_one_failing_user_in_the_middle_leaves_the_table_whole(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """Submit, then Get request in a Do until, each with the key: all rows, the bad one with its reason, a red run."""
    names = await many(tenant, f"cloud{numbers()}-")
    await tenant.post("config", {"latencyMs": 300})
    flow = started(api, session)
    await flow.start({"text": "; ".join(names), "text_1": "INC-1042"})
    assert [row["User"].strip() for row in table_of(flow)] == names
    assert [row["Result"] for row in table_of(flow)] == ["verified"] * 12 + ["failed"] + ["verified"] * 12
    assert table_of(flow)[12]["Why"]
    assert table_of(flow)[12]["What to do"]
    assert (flow.status, flow.error["code"]) == ("Failed", "partiallySucceeded")
    request_id = flow.results["Submit"]["outputs"]["body"]["id"]
    assert flow.results["Submit"]["outputs"]["statusCode"] == 202
    polls = [headers for _, uri, headers in flow.requests if uri.endswith(f"/api/revocations/{request_id}")]
    assert len(polls) > 1
    assert all(headers == api.key for headers in polls)
    assert not [uri for _, uri, _ in flow.requests if "/operations/" in uri]


async def test_the_asynchronous_pattern_left_on_comes_to_the_same_end_without_a_key(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """The platform then polls Location by itself and sends no key with it: the link is signed."""
    names = await many(tenant, f"toggled{numbers()}-")
    shipped = definition()
    del shipped["actions"]["Submit"]["operationOptions"]
    flow = started(api, session, shipped)
    await flow.start({"text": ";".join(names), "text_1": "INC-1042"})
    followed = [(uri, headers) for _, uri, headers in flow.requests if "/operations/" in uri]
    assert followed
    assert all("sig=" in uri and headers == {} for uri, headers in followed)
    assert flow.results["Submit"]["outputs"]["statusCode"] == 200
    assert [row["Result"] for row in table_of(flow)] == ["verified"] * 12 + ["failed"] + ["verified"] * 12
    assert (flow.status, flow.error["code"]) == ("Failed", "partiallySucceeded")


async def test_when_all_are_revoked_the_run_is_green_and_a_repetition_adds_nothing(
    api: Api, tenant: Tenant, session: ClientSession, person: dict[str, Any]
) -> None:
    """A semicolon at the end names nobody; the run's name is the key."""
    flow = started(api, session)
    await flow.start({"text": f"{person['userPrincipalName']}; ", "text_1": "leaver"})
    assert (flow.status, flow.error) == ("Succeeded", None)
    again = started(api, session)
    again.name_of_run = flow.name_of_run
    await again.start({"text": f"{person['userPrincipalName']}; ", "text_1": "leaver"})
    assert [row["Result"] for row in table_of(again)] == ["verified"]
    assert len(await tenant.served(person["id"])) == 1


async def test_more_than_a_page_of_users_is_in_the_table_too(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """The request itself shows the first hundred; the table goes through all pages."""
    people = await tenant.people(101, f"paged{numbers()}-")
    shipped = definition()
    shipped["actions"]["All_users"]["inputs"]["parameters"]["pageSize"] = 50
    flow = started(api, session, shipped)
    await flow.start({"text": ";".join(people), "text_1": "INC-1043"})
    assert flow.status == "Succeeded"
    assert [row["User"] for row in table_of(flow)] == people


async def test_a_loop_that_gives_up_before_the_end_does_not_end_green(
    api: Api, tenant: Tenant, session: ClientSession, numbers: Callable[[], int]
) -> None:
    """The limit of the Do until is no success: the run says that the request still runs."""
    names = await many(tenant, f"late{numbers()}-")
    shipped = definition()
    shipped["actions"]["Until_it_ends"]["limit"]["count"] = 1
    await tenant.post("config", {"latencyMs": 1500})
    flow = started(api, session, shipped)
    await flow.start({"text": ";".join(names), "text_1": "INC-1044"})
    assert (flow.status, flow.error["code"] in ("accepted", "running")) == ("Failed", True)
    await tenant.post("config", {"latencyMs": 0})
    await api.finished(flow.results["Submit"]["outputs"]["body"]["id"])


async def test_a_refused_call_ends_red_before_the_loop(api: Api, session: ClientSession) -> None:
    """A wrong key, or a name that is none: there is no request to ask about."""
    for text, key in (("bob@contoso.com", "wrong"), ("8f5d-typo", None)):
        flow = started(api, session, key=key)
        await flow.start({"text": text, "text_1": "INC-1045"})
        assert flow.status == "Failed"
        assert flow.results["Until_it_ends"]["status"] == "Skipped"


def test_every_call_is_an_operation_of_the_connector_with_parameters_that_it_has() -> None:
    """An import fails on the first operation or parameter that the connector lacks."""
    swagger = json.loads((FOLDER / "apiDefinition.swagger.json").read_text())
    body = swagger["definitions"]["RevocationRequest"]["properties"]
    calls = [action for _, action in named_actions(definition()["actions"]) if action["type"] == "OpenApiConnection"]
    assert len(calls) == 3
    for call in calls:
        operation = operations()[call["inputs"]["host"]["operationId"]]
        known = {one["name"] for one in operation["parameters"]} | {f"body/{name}" for name in body}
        assert set(call["inputs"]["parameters"]) <= known
        assert call["inputs"]["authentication"] == "@parameters('$authentication')"


def test_the_flow_has_the_form_of_an_unpacked_solution() -> None:
    """Schema, connection reference and parameters as the platform exports them."""
    flow = json.loads((FOLDER / "flow" / "definition.json").read_text())
    assert flow["schemaVersion"] == "1.0.0.0"
    (name,) = flow["properties"]["connectionReferences"]
    shipped = flow["properties"]["definition"]
    assert shipped["$schema"].endswith("/2016-06-01/workflowdefinition.json#")
    assert {name: given["type"] for name, given in shipped["parameters"].items()} == {
        "$connections": "Object",
        "$authentication": "SecureObject",
    }
    hosts = [
        action["inputs"]["host"]
        for _, action in named_actions(shipped["actions"])
        if "host" in action.get("inputs", {})
    ]
    assert {host["connectionName"] for host in hosts} == {name}
    assert {host["apiId"] for host in hosts} == {f"/providers/Microsoft.PowerApps/apis/{name}"}


def members_read(node: Any) -> Iterator[tuple[str, str]]:
    """Which members the expressions read, each with the function whose result it is read of."""
    if isinstance(node, Member):
        if isinstance(node.name, Literal) and isinstance(node.name.value, str):
            yield _source(node.of), node.name.value
        yield from members_read(node.of)
    elif isinstance(node, Call):
        for argument in node.arguments:
            yield from members_read(argument)


def _source(node: Any) -> str:
    while isinstance(node, Member):
        node = node.of
    argument = next((one.value for one in node.arguments if isinstance(one, Literal)), "")
    return f"{node.name} {argument}".strip()


def test_every_member_the_flow_reads_is_one_that_the_app_answers() -> None:
    """A member with a typing error reads as null, and null is not an error: the run would go on without it."""
    documented = set(re.findall(r"^\| `(\w+)`", ANSWERS, re.MULTILINE))
    read = {pair for node in expressions_in(definition()["actions"]) for pair in members_read(node)}
    inputs = definition()["triggers"]["manual"]["inputs"]["schema"]["properties"]
    assert {name for source, name in read if source == "triggerBody"} == set(inputs)
    answered = {name for source, name in read if source.startswith(("body", "item"))}
    assert answered == {"id", "status", "value", "input", "error", "message", "hint"}
    assert answered <= documented


def test_the_readme_tells_the_steps_by_the_names_they_have() -> None:
    """The recipe can be followed with the flow open beside it."""
    text = (FOLDER / "README.md").read_text()
    steps = {name for name, action in named_actions(definition()["actions"]) if action["type"] != "Terminate"}
    assert {name for name in steps if f"*{name.replace('_', ' ')}*" not in text} == set()
    named = set(re.findall(r"`((?:[A-Z][a-z]+){2,})`", text))
    assert len(named) > 5
    assert named <= set(operations())
