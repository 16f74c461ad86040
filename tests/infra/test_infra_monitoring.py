"""The alerts and the workbook ask for log lines that the app really writes, by their names and fields."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
from expansion import ROOT, SETS, one, properties, resources

from revoke_core.adapters.storage import POISON, QUEUES
from revoke_core.domain.problems import STABLE_CODES
from revoke_core.domain.request_record import RequestStatus

if TYPE_CHECKING:
    from pathlib import Path

RULE = "Microsoft.Insights/scheduledQueryRules"
QUERIES = sorted((ROOT / "infra" / "queries").rglob("*.kql"))
ALERTS = sorted((ROOT / "infra" / "queries" / "alerts").glob("*.kql"))
CHARTS = sorted((ROOT / "infra" / "queries" / "workbook").glob("*.kql"))
every_set = pytest.mark.parametrize("name", SETS)
every_query = pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)


@cache
def written_events(*functions: str) -> dict[str, set[str]]:
    """Every event of the code, with the fields that some line of that name carries."""
    events: dict[str, set[str]] = {}
    for path in (*(ROOT / "revoke_core").rglob("*.py"), ROOT / "function_app.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in (functions or ("event", "failure"))
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "logs"
                and isinstance(node.args[0], ast.Constant)
            ):
                fields = {word.arg for word in node.keywords if word.arg and word.arg != "level"}
                fields |= {"error"} if node.func.attr == "failure" else set()
                events.setdefault(str(node.args[0].value), set()).update(fields)
    return events


def asked_events(query: str) -> set[str]:
    """The event names that a query looks for."""
    single = re.findall(r"event == '(\w+)'", query)
    lists = re.findall(r"event in \(([^)]*)\)", query)
    return {*single, *(name for names in lists for name in re.findall(r"'(\w+)'", names))}


def test_the_search_for_events_finds_them() -> None:
    """The tests below hold something."""
    events = written_events()
    assert events["request_finished"] == {"requestId", "status", "total"}
    assert len(events) > 15


@every_query
def test_queries_ask_for_events_that_are_written(path: Path) -> None:
    """A renamed event would make an alert silent for ever."""
    assert asked_events(path.read_text()) <= set(written_events())


@every_query
def test_queries_read_fields_that_are_written(path: Path) -> None:
    """A renamed field would make a chart empty."""
    text = path.read_text()
    asked = asked_events(text)
    written = {field for name in asked for field in written_events().get(name, set())}
    assert set(re.findall(r"\bfields\.(\w+)", text)) <= written


def test_every_exception_that_is_logged_is_a_fault_that_the_workbook_lists() -> None:
    """What went wrong and was survived is seen by somebody."""
    faults = asked_events((ROOT / "infra" / "queries" / "workbook" / "faults.kql").read_text())
    assert set(written_events("failure")) <= faults


def test_values_that_queries_compare_with_are_the_codes() -> None:
    """A status and an error code stand in the queries as the app writes them."""
    text = "".join(path.read_text() for path in QUERIES)
    assert set(re.findall(r"tostring\(fields\.status\) == '(\w+)'", text)) == {RequestStatus.FAILED.value}
    assert set(re.findall(r"tostring\(fields\.code\) == '(\w+)'", text)) == {"notProcessed"}
    assert "notProcessed" in STABLE_CODES


def test_the_log_lines_have_the_form_that_the_queries_take_apart() -> None:
    """A name of small letters, a blank, a JSON object."""
    source = (ROOT / "revoke_core" / "logs.py").read_text()
    assert '"%s %s", name, json.dumps(' in source
    pattern = re.search(r"matches regex @'([^']+)'", (ROOT / "infra" / "queries" / "events.kql").read_text())
    assert pattern
    assert all(re.match(pattern.group(1), f"{name} {json.dumps({})}") for name in written_events())


@every_set
def test_there_is_a_rule_for_every_alert_query(name: str) -> None:
    """A query without a rule would watch nothing; the rule holds the file's whole text."""
    rules = {rule["name"].split("/")[-1]: rule["properties"] for rule in resources(name, RULE)}
    prefix = one(name, "Microsoft.Web/sites")["name"]
    assert set(rules) == {f"{prefix}-{path.stem}" for path in ALERTS}
    for path in ALERTS:
        (criterion,) = rules[f"{prefix}-{path.stem}"]["criteria"]["allOf"]
        assert criterion["query"].endswith(path.read_text())
        for name_of_all in ("events", "poisonQueues"):
            is_used = bool(re.search(rf"^\s*{name_of_all}$|\({name_of_all}\)", path.read_text(), re.MULTILINE))
            assert (f"let {name_of_all} = " in criterion["query"]) is is_used
        assert criterion["threshold"] == 0
        assert criterion["operator"] == "GreaterThan"


@every_set
def test_rules_watch_this_app_alone_and_all_the_time(name: str) -> None:
    """They read the app's own component, so a shared workspace makes no false alarm."""
    for rule in resources(name, RULE):
        assert rule["properties"]["enabled"] is True
        assert rule["properties"]["scopes"] == [one(name, "Microsoft.Insights/components")["id"]]
        assert rule["properties"]["evaluationFrequency"] == "PT5M"


def test_rules_know_the_poison_queues_by_the_names_of_the_code() -> None:
    """The list in the query is made of the same names as the queues."""
    query = properties("default", RULE, "-poison-queue")["criteria"]["allOf"][0]["query"]
    listed = re.search(r"let poisonQueues = dynamic\((\[.*?\])\);", query)
    assert listed
    assert sorted(json.loads(listed.group(1))) == sorted(queue for queue in QUEUES if queue.endswith(POISON))


def test_whoever_is_named_is_told() -> None:
    """Mail and given action groups, from every rule; nobody where nobody is named."""
    mail = one("everything", "Microsoft.Insights/actionGroups")
    assert mail["properties"]["emailReceivers"][0]["emailAddress"] == "soc@contoso.com"
    for rule in resources("everything", RULE):
        first, second = rule["properties"]["actions"]["actionGroups"]
        assert first == mail["id"]
        assert second.endswith("/actionGroups/oncall")
    assert not resources("default", "Microsoft.Insights/actionGroups")
    assert all(rule["properties"]["actions"]["actionGroups"] == [] for rule in resources("default", RULE))


@every_set
def test_the_workbook_shows_every_chart(name: str) -> None:
    """Each query of the folder, whole, over the app's component."""
    workbook = properties(name, "Microsoft.Insights/workbooks")
    items = json.loads(workbook["serializedData"])["items"]
    shown = [item["content"]["query"] for item in items if item["type"] == 3]
    assert len(shown) == len(CHARTS)
    assert all(any(query.endswith(path.read_text()) for query in shown) for path in CHARTS)
    assert workbook["sourceId"] == one(name, "Microsoft.Insights/components")["id"]


def test_a_workspace_that_exists_is_used() -> None:
    """A platform team's central workspace takes the logs, and none is made."""
    assert not resources("everything", "Microsoft.OperationalInsights/workspaces")
    component = properties("everything", "Microsoft.Insights/components")
    assert component["WorkspaceResourceId"].endswith("/workspaces/central")


@pytest.mark.parametrize("name", [name for name in SETS if name != "everything"])
def test_a_workspace_is_made_where_there_is_none(name: str) -> None:
    """Telemetry is kept for ninety days, in a workspace that is used."""
    workspace = one(name, "Microsoft.OperationalInsights/workspaces")
    assert workspace["properties"]["retentionInDays"] == 90
    component = properties(name, "Microsoft.Insights/components")
    assert component["WorkspaceResourceId"] == workspace["id"]
    assert component["IngestionMode"] == "LogAnalytics"
