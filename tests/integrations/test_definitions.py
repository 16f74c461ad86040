"""Every expression of every shipped definition, held to the trigger's payload, the API's answers and the routes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playbook_rules import faults
from workflow_engine import ACTIONS, named_actions
from workflow_language import FUNCTIONS, expressions_in
from workflow_references import Read, calls_in, own_parts, reads_in, settled_before
from workflows import FOLDER, ROOT, SETS, workflow

from revoke_core.domain.payloads.shapes import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from clients import Api, App

CONTEXT = {"triggerBody", "body", "outputs", "actions", "items", "item", "parameters", "variables", "workflow"}
PLAYBOOKS = sorted((ROOT / "integrations" / "sentinel-playbook").glob("*-trigger/azuredeploy.json"))
PAGES = [
    ROOT / "integrations" / "logic-app" / "README.md",
    ROOT / "integrations" / "sentinel-playbook" / "readme.md",
    ROOT / "integrations" / "lifecycle-workflow" / "README.md",
]
# What stands in an item, by the action that reads it.
USERS, REQUEST, OUTCOMES = "users", "request", "outcomes"
ITEMS = {"Summary_rows": REQUEST, "User_rows": USERS, "Not_revoked": OUTCOMES}
INCIDENT_IDS = (
    "triggerBody()?['object']?['id']",
    "body('Alert_-_Get_incident')?['id']",
    "triggerBody()?['IncidentArmID']",
)
# What the connectors answer with.
OTHERS = {"Ask_a_person": {"SelectedOption"}, "Alert_-_Get_incident": {"id"}}


def definition(name: str) -> dict[str, Any]:
    return dict(workflow(name)["properties"]["definition"])


def actions(name: str) -> list[tuple[str, dict[str, Any]]]:
    return named_actions(definition(name)["actions"])


def reads(name: str) -> list[tuple[str, Read]]:
    """Everything that is read, with the action that reads it."""
    return [(action, read) for action, part in actions(name) for read in reads_in(own_parts(part))]


def http(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the revoker."""
    return [(action, part) for action, part in actions(name) if part["type"] == "Http" and "/api/" in _uri(part)]


def _uri(action: dict[str, Any]) -> str:
    return str(action["inputs"]["uri"])


def has(value: Any, path: tuple[str | int, ...]) -> bool:
    """Whether a sample has a path; a number stands for any item."""
    if not path:
        return True
    if isinstance(value, list):
        return isinstance(path[0], int) and any(has(item, path[1:]) for item in value)
    return isinstance(value, dict) and path[0] in value and has(value[path[0]], path[1:])


def in_schema(schema: dict[str, Any], path: tuple[str | int, ...]) -> bool:
    """Whether a trigger's schema has a path."""
    if not path:
        return True
    below = schema.get("items") if isinstance(path[0], int) else schema.get("properties", {}).get(path[0])
    return below is not None and in_schema(below, path[1:])


@pytest.fixture
async def answers(api: Api, bulk: App) -> list[Any]:
    """Answers of the running app that have every member between them: users, a fault of its own, a problem, a page."""
    mixed = await api.submit({"users": ["adele@contoso.com", "nobody@contoso.com"], "dryRun": True})
    nobody = await api.submit({"filter": "department eq 'no such department'"})
    problem = await api.submit({"users": ["8f5d-typo"]})
    many = await bulk.api.submit({"users": await bulk.tenant.people(101, "page"), "dryRun": True})
    finished = await bulk.api.finished(many.json["id"])
    group = await bulk.tenant.group(await bulk.tenant.people(101, "member"))
    held = await bulk.api.reaches((await bulk.api.submit({"groups": [group]})).json["id"], "held")
    await bulk.api.say(held.json["id"], "cancel")
    return [mixed.json, (await api.finished(nobody.json["id"])).json, problem.json, finished.json, held.json]


@pytest.mark.parametrize("name", SETS)
def test_the_engine_knows_all_that_is_used(name: str) -> None:
    """No action and no function of a definition goes untested."""
    used = {call.name for node in expressions_in(definition(name)["actions"]) for call in calls_in(node)}
    assert used <= set(FUNCTIONS) | CONTEXT | {"listCallbackUrl"}
    assert {action["type"] for _, action in actions(name)} <= set(ACTIONS)


def test_the_engine_knows_nothing_else() -> None:
    """What no definition uses has no place in it."""
    files = [path for path in (ROOT / "integrations").rglob("*") if path.suffix in (".json", ".bicep")]
    text = "".join(path.read_text() for path in files)
    assert [name for name in FUNCTIONS if not re.search(rf"\b{name}\(", text)] == []
    assert [kind for kind in ACTIONS if not re.search(rf"\btype\"?: [\"']{kind}[\"']", text)] == []


@pytest.mark.parametrize("name", SETS)
def test_what_is_read_is_over_by_then(name: str) -> None:
    """An action reads only actions that exist and that its runAfter leads back to, as the service demands."""
    allowed = dict(settled_before(definition(name)["actions"]))
    assert len(allowed) == len(actions(name)), "two actions have one name"
    for action, read in reads(name):
        if read.function in ("body", "outputs", "actions"):
            assert read.of in allowed[action], f"{action} reads {read.of}"


@pytest.mark.parametrize("name", SETS)
def test_loops_parameters_and_variables_exist(name: str) -> None:
    """No name is mistyped, and the deployment gives exactly the parameters that the definition declares."""
    loops = {action for action, part in actions(name) if part["type"] == "Foreach"}
    given = workflow(name)["properties"]["parameters"]
    kept = {
        one["name"]
        for _, part in actions(name)
        if part["type"].startswith("Init")
        for one in part["inputs"]["variables"]
    }
    used = [read for part in definition(name)["triggers"].values() for read in reads_in(part)]
    for read in [*used, *(read for _, read in reads(name))]:
        known = {"items": loops, "parameters": set(given), "variables": kept}.get(read.function)
        assert known is None or read.of in known, read
    assert set(given) == set(definition(name)["parameters"])
    read_parameters = {read.of for read in [*used, *(read for _, read in reads(name))] if read.function == "parameters"}
    assert read_parameters | {"submitKey", "confirmKey", "RevokerKey"} >= set(given), "a parameter is never read"


@pytest.mark.parametrize("name", SETS)
def test_every_field_of_the_trigger_exists(name: str) -> None:
    """Field by field in the documented payload, or in the schema that the trigger itself states."""
    (trigger,) = definition(name)["triggers"].values()
    kind = name.split("-")[1] if name.startswith("playbook") else "lifecycle"
    for action, read in reads(name):
        if read.function not in ("triggerBody", "items") or not read.path:
            continue
        path = read.path if read.function == "triggerBody" else ("leavers", 0, *read.path)
        if trigger["type"] == "Request":
            assert in_schema(trigger["inputs"]["schema"], path), f"{action} reads {path}"
        if not name.startswith("logic-app"):
            sample = json.loads((FOLDER / "payloads" / f"{kind}.json").read_text())
            assert has(sample, path), f"{action} reads {path}"


async def test_every_member_of_an_answer_exists(answers: list[Any]) -> None:
    """Of all definitions: what is read of the API is there in answers of the running app."""
    for name in SETS:
        outcomes = [part["inputs"]["value"] for _, part in actions(name) if part["type"] == "AppendToArrayVariable"]
        item_samples = {
            REQUEST: answers,
            OUTCOMES: outcomes,
            USERS: [user for one in answers for user in one.get("users", [])],
        }
        for action, read in reads(name):
            if read.function == "item":
                assert any(has(sample, read.path) for sample in item_samples[ITEMS[action]]), (
                    f"{name} {action} reads {read}"
                )
            elif read.function in ("body", "outputs") and read.path and read.path != ("statusCode",):
                if read.of in OTHERS:
                    assert set(read.path) <= OTHERS[read.of]
                elif read.path != ("$content",):
                    assert any(has(sample, read.path) for sample in answers), f"{name} {action} reads {read}"


@pytest.mark.parametrize("name", SETS)
def test_every_route_exists(name: str) -> None:
    """Method and path are those of a function, and a shape is one that the app reads."""
    declared = re.findall(r'@app\.route\("([^"]+)", methods=\["(\w+)"\]', (ROOT / "function_app.py").read_text())
    calls = http(name)
    assert calls
    for _, part in calls:
        path = _uri(part).split("/api/")[1]
        matches = [
            route
            for route, method in declared
            if method == part["inputs"]["method"]
            and re.fullmatch(re.sub(r"\\\{\w+\\\}", r"(?:@\\{[^}]+\\}|[\\w-]+)", re.escape(route)), path)
        ]
        assert matches, path
        if path.startswith("revocations/from/"):
            assert path.split("/")[-1] in set(Shape)


@pytest.mark.parametrize("name", SETS)
def test_calls_are_secured_repeated_and_limited(name: str) -> None:
    """Neither key nor users in the run history; a repeated submit is the same request; no call waits for ever."""
    looped = {inner for _, part in actions(name) if part["type"] == "Foreach" for inner in part["actions"]}
    for action, part in http(name):
        assert part["runtimeConfiguration"]["secureData"]["properties"] == ["inputs", "outputs"]
        assert part["inputs"]["retryPolicy"]["type"] == "exponential"
        assert part["limit"]["timeout"]
        if action != "Confirm":
            key = part["inputs"]["headers"]["Idempotency-Key"]
            assert ("items(" in key) == (action in looped)
            assert "workflow().run.name" in key


@pytest.mark.parametrize("name", SETS)
def test_a_call_has_a_key_or_an_identity_and_the_audience_is_exact(name: str) -> None:
    """One of both; the audience is what the deployment was given, character by character."""
    for _, part in http(name):
        has_key = "x-functions-key" in part["inputs"]["headers"]
        authentication = part["inputs"].get("authentication")
        assert has_key == ("identity" not in name)
        if not has_key:
            expected = {"type": "ManagedServiceIdentity", "audience": "00000000-0000-4000-8000-000000000003"}
            assert authentication == expected
    kinds = {parameter: given["type"] for parameter, given in definition(name)["parameters"].items()}
    assert all(kind == "SecureString" for parameter, kind in kinds.items() if parameter.lower().endswith("key"))


@pytest.mark.parametrize("name", SETS)
def test_no_branch_depends_on_the_http_status(name: str) -> None:
    """200 is not success, and a held request is a 200 too."""
    for action, part in actions(name):
        if part["type"] == "If":
            assert all("statusCode" not in read.path for read in reads_in(part["expression"])), action


@pytest.mark.parametrize("name", SETS)
def test_the_managers_and_owners_of_a_payload_are_never_read(name: str) -> None:
    """Whom to revoke is the app's to say: no definition takes users out of a payload."""
    for action, read in reads(name):
        if read.function == "triggerBody":
            assert not {"manager", "owner", "subject", "relatedEntities", "Entities"} & set(read.path), action


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_page_names_what_is_there(page: Path) -> None:
    """A picture of the flow, links that lead somewhere, and in its table the parameters of the template, no others."""
    text = page.read_text()
    assert "```mermaid" in text or ".svg)" in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    templates = [page.parent / "main.bicep", *page.parent.glob("*-trigger/azuredeploy.json")]
    sources = "".join(template.read_text() for template in templates if template.exists())
    table = re.search(r"\| parameter \| is \|\n\|---\|---\|\n((?:\|.*\n)+)", text)
    for parameter in re.findall(r"^\| `(\w+)`", table[1] if table else "", re.MULTILINE):
        assert re.search(rf'^param {parameter} |"{parameter}": \{{', sources, re.MULTILINE), parameter


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.parent.name)
def test_a_playbook_keeps_the_rules_of_the_public_repository(path: Any) -> None:
    """What its own validators would find: nothing. And the folder has what a contribution needs."""
    assert faults(json.loads(path.read_text())) == []
    assert (path.parents[1] / "readme.md").is_file()
    assert list((path.parent / "images").iterdir())


def test_the_rules_find_what_they_are_for() -> None:
    """Each breach of a rule is named."""
    template = json.loads(PLAYBOOKS[0].read_text())
    workflow_at = next(at for at, one in enumerate(template["resources"]) if one["type"].endswith("workflows"))
    connection_at = 1 - workflow_at
    breaches: list[tuple[list[Any], Any, str]] = [
        (["$schema"], "x", "no deployment template"),
        (["extra"], {}, "unknown member extra"),
        (["parameters", "PlaybookName"], None, "PlaybookName"),
        (["resources", workflow_at, "name"], "Revoke", "0 workflows"),
        (["resources", workflow_at, "location"], "westeurope", "not where its group is"),
        (["resources", connection_at, "name"], "azuresentinel", "not named by a variable"),
        (["metadata", "title"], " ", "metadata lacks title"),
        (["metadata", "author", "name"], None, "metadata lacks author.name"),
        (["metadata", "lastUpdateTime"], "lately", "no time"),
        (["metadata", "entities"], ["Person"], "unknown entity Person"),
    ]
    for path, value, expected in breaches:
        broken = json.loads(json.dumps(template))
        inner = broken
        for step in path[:-1]:
            inner = inner[step]
        if value is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        assert any(expected in fault for fault in faults(broken)), expected


def test_the_three_playbooks_differ_only_where_their_triggers_do() -> None:
    """A mistake mended in one is mended in all."""
    parts = {}
    for name in ("playbook-incident-key", "playbook-alert-key", "playbook-entity-key"):
        text = json.dumps(
            {action: own_parts(part) for action, part in actions(name) if action != "Alert_-_Get_incident"}
        )
        for incident in INCIDENT_IDS:
            text = text.replace(incident, "INCIDENT")
        text = re.sub(r"from/sentinel-\w+", "from/SHAPE", text)
        parts[name] = re.sub(r'("Has_incident": {"description": )"[^"]*"', r"\1", text)
    assert len(set(parts.values())) == 1
