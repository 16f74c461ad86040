"""The emulated engine itself: what it refuses, and when an action runs, is skipped, or fails its run."""

from __future__ import annotations

from typing import Any

import pytest
from workflow_engine import Connector, NotEmulatedError, Run
from workflow_language import LanguageError, evaluated

GOOD: dict[str, Any] = {"type": "Compose", "inputs": "x"}
BAD: dict[str, Any] = {
    "type": "ApiConnection",
    "inputs": {"host": {}, "method": "post", "path": "/bad"},
}


async def ran(actions: dict[str, Any], body: Any = None) -> Run:
    connector = Connector({"post /bad": (500, None), "post /slow": (408, None)})
    run = Run({"actions": actions}, {"name": "value"}, None, connector)  # type: ignore[arg-type] -- these actions call no API
    return await run.start(body)


def after(action: dict[str, Any], **before: list[str]) -> dict[str, Any]:
    return action | {"runAfter": before}


@pytest.mark.parametrize(
    "action",
    [
        {"type": "Until", "actions": {}},
        {"type": "Compose", "inputs": 1, "operationOptions": "Sequential"},
        {"type": "Http", "inputs": {"method": "GET", "uri": "http://127.0.0.1:9", "cookie": "x"}},
        {"type": "Table", "inputs": {"from": [], "format": "CSV"}},
        {"type": "Http", "inputs": {"method": "GET", "uri": "http://127.0.0.1:9", "authentication": {"type": "Basic"}}},
        {"type": "If", "expression": {"less": [1, 2]}, "actions": {}},
        {"type": "Select", "inputs": {"from": "no array", "select": {}}},
        {"type": "Compose", "inputs": 1, "runAfter": {"one": ["Succeeded"]}},
    ],
)
async def test_what_it_does_not_know_is_refused(action: dict[str, Any]) -> None:
    """An action, a member, a format, a condition, an order: an error, never a guess."""
    with pytest.raises(NotEmulatedError):
        await ran({"one": action})


@pytest.mark.parametrize(
    "text",
    [
        "@utcNow()",
        "@body('nothing')",
        "@triggerBody()['missing']",
        "@triggerBody()?['a']['b']",
        "@length(null)",
        "@json('{')",
        "@concat('a'",
        "@{concat('a')",
        "@'a' 'b'",
        "@parameters('other')",
    ],
)
async def test_an_expression_that_would_fail_is_an_error(text: str) -> None:
    """A function that is not known, an action that has not run, a member of nothing, a text that is not closed."""
    with pytest.raises(LanguageError):
        await ran({"one": {"type": "Compose", "inputs": text}}, {"a": None})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("@@escaped", "@escaped"),
        ("@triggerBody()?['a']?['b']?[1]", 2),
        ("@triggerBody()?['x']?['y']", None),
        ("a @{triggerBody()?['a']?['b']} and @{concat('it''s ', '}')}", "a [1, 2] and it's }"),
        ("@if(equals(1, 1), coalesce(null, 'x'), 'y')", "x"),
        ("@createArray(not(equals('a', 'A')), empty(json('[]')), contains('abc', 'b'))", [True, True, True]),
        ("@chunk(json('[1,2,3]'), 2)", [[1, 2], [3]]),
        ("@{null}", ""),
    ],
)
def test_expressions_have_the_value_that_they_have_in_logic_apps(text: str, value: Any) -> None:
    """Interpolation, quotation, members of nothing, numbers that stay numbers."""
    assert evaluated(text, {"triggerBody": lambda: {"a": {"b": [1, 2]}}}) == value


async def test_an_action_runs_only_after_what_it_waits_for() -> None:
    """Succeeded unless said otherwise; what is skipped does not run, and what waits for a failure does."""
    run = await ran(
        {
            "last": after(GOOD, bad=["Succeeded"]),
            "bad": after(BAD, first=["Succeeded"]),
            "told": after(GOOD, bad=["Failed"], last=["Skipped"]),
            "first": GOOD,
        }
    )
    assert {name: result["status"] for name, result in run.results.items()} == {
        "first": "Succeeded",
        "bad": "Failed",
        "last": "Skipped",
        "told": "Succeeded",
    }
    assert run.status == "Succeeded"


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        ({"bad": BAD}, "Failed"),
        ({"bad": BAD, "next": after(GOOD, bad=["Succeeded"])}, "Failed"),
        ({"bad": BAD, "next": after(GOOD, bad=["Failed"])}, "Succeeded"),
        ({"bad": BAD, "next": after(GOOD, bad=["Failed"]), "beside": after(GOOD, bad=["Succeeded"])}, "Failed"),
        ({"if": {"type": "If", "expression": {"equals": [1, 1]}, "actions": {"bad": BAD}}}, "Failed"),
        ({"if": {"type": "If", "expression": {"equals": [1, "1"]}, "actions": {"bad": BAD}}}, "Succeeded"),
        ({"loop": {"type": "Foreach", "foreach": [1, 2], "actions": {"bad": BAD}}}, "Failed"),
        ({"loop": {"type": "Foreach", "foreach": [], "actions": {"bad": BAD}}}, "Succeeded"),
        ({"loop": {"type": "Foreach", "foreach": "@null", "actions": {"good": GOOD}}}, "Failed"),
        ({"end": {"type": "Terminate", "inputs": {"runStatus": "Cancelled"}}, "bad": after(BAD, end=[])}, "Cancelled"),
    ],
)
async def test_a_run_fails_where_a_branch_ends_in_a_failure(actions: dict[str, Any], status: str) -> None:
    """Also where the branch ends in an action that is skipped because of one; not where the failure is provided for."""
    assert (await ran(actions)).status == status
