"""The custom connector's definition keeps the platform's rules, and each rule notices its breach."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from connector_rules import RULES, operations
from described import DESCRIPTION

from local.openapi.cli import PROPERTIES, SWAGGER
from local.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTOR: Any = json.loads((ROOT / SWAGGER).read_text())
SUBMIT = CONNECTOR["paths"]["/api/revocations"]["post"]
REVOCATION = {"$ref": "#/definitions/Revocation"}


def submit(swagger: Any) -> Any:
    return swagger["paths"]["/api/revocations"]["post"]


def status_path(swagger: Any) -> Any:
    return swagger["paths"]["/api/revocations/{id}"]["get"]


@pytest.mark.parametrize("rule", RULES)
def test_the_connector_keeps_every_rule(rule: str) -> None:
    """What the certification's validator asks, as far as it can be asked offline."""
    assert list(RULES[rule](CONNECTOR)) == []


BREACHES: list[tuple[str, Callable[[Any], Any]]] = [
    ("size", lambda s: s["info"].update(description="x" * 1_000_000)),
    ("title, description and contact", lambda s: s["info"].update(title="Revoker API")),
    ("title, description and contact", lambda s: s["info"].pop("contact")),
    ("metadata", lambda s: s["x-ms-connector-metadata"].pop()),
    ("names of operations", lambda s: submit(s).update(operationId="submit-revocation")),
    ("names of operations", lambda s: submit(s).update(summary="Revoke, and prove it.")),
    ("full sentences", lambda s: submit(s).update(description="revokes")),
    ("full sentences", lambda s: s["definitions"]["User"]["properties"]["input"].pop("description")),
    ("path parameters are encoded once", lambda s: status_path(s)["parameters"][0].pop("x-ms-url-encoding")),
    ("titles and visibilities", lambda s: status_path(s)["parameters"][0].pop("x-ms-summary")),
    ("titles and visibilities", lambda s: submit(s).update({"x-ms-visibility": "often"})),
    ("one answer has a schema, and it is 200", lambda s: submit(s)["responses"]["202"].update(schema=REVOCATION)),
    ("one answer has a schema, and it is 200", lambda s: submit(s)["responses"]["default"].update(schema=REVOCATION)),
    ("nothing beside a reference", lambda s: submit(s)["responses"]["200"]["schema"].update(description="The answer.")),
    ("no empty schema", lambda s: s["definitions"].update(Anything={"type": "object", "description": "Anything."})),
    ("no empty schema", lambda s: s["definitions"].update(Anything={"description": "Anything."})),
    ("MIME types", lambda s: s["produces"].append("application/problem+json")),
    ("MIME types", lambda s: s["produces"].append("text/csv")),
    ("paging", lambda s: s["paths"]["/api/revocations"]["get"].pop("x-ms-pageable")),
    (
        "dynamic values",
        lambda s: status_path(s)["parameters"][0].update(
            {"x-ms-dynamic-values": {"operationId": "ListRevocations", "parameters": {"a": {"parameter": "body/a"}}}}
        ),
    ),
]


@pytest.mark.parametrize(("rule", "breach"), BREACHES, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BREACHES)])
def test_each_rule_notices_its_breach(rule: str, breach: Callable[[Any], Any]) -> None:
    """A schema that somebody adds to the 202 again fails here, as everything else that the platform refuses."""
    broken = copy.deepcopy(CONNECTOR)
    breach(broken)
    assert list(RULES[rule](broken))


def test_every_rule_has_a_breach() -> None:
    """No rule is a sentence only."""
    assert {rule for rule, _ in BREACHES} == set(RULES)


def test_the_signed_link_is_there_for_the_platform_alone() -> None:
    """A poll that the platform makes of Location is known; nobody is offered it as an action, and it has no key."""
    operation = CONNECTOR["paths"]["/api/operations/{id}"]["get"]
    assert (operation["x-ms-visibility"], operation["security"]) == ("internal", [])
    offered = {name for name, found in operations(CONNECTOR) if found["x-ms-visibility"] != "internal"}
    assert len(offered) == len(list(operations(CONNECTOR))) - 1


def test_what_the_connector_calls_is_in_the_api() -> None:
    """Each of its paths is a route of the description, each answer has the description's members."""
    for path, methods in CONNECTOR["paths"].items():
        assert methods.keys() <= DESCRIPTION["paths"][path.removeprefix("/api")].keys()
    for name, definition in CONNECTOR["definitions"].items():
        schema = DESCRIPTION["components"]["schemas"][name]
        assert definition["properties"].keys() == schema["properties"].keys()
        assert definition.get("required") == schema.get("required")


def test_the_connection_names_the_host_and_the_key() -> None:
    """The policy calls the host of the connection, and the key is the one that the definition sends."""
    properties = json.loads((ROOT / PROPERTIES).read_text())["properties"]
    (policy,) = properties["policyTemplateInstances"]
    template = policy["parameters"]["x-ms-apimTemplateParameter.urlTemplate"]
    named = re.findall(r"@connectionParameters\('(\w+)'\)", template)
    assert (policy["templateId"], template) == ("dynamichosturl", "https://@connectionParameters('host')")
    (scheme,) = CONNECTOR["securityDefinitions"]
    parameters = properties["connectionParameters"]
    assert set(parameters) == {*named, scheme}
    assert parameters[scheme]["type"] == "securestring"
    assert all(found["uiDefinition"]["constraints"]["required"] == "true" for found in parameters.values())
    # The policy puts its address in place of host and base path.
    assert CONNECTOR["basePath"] == "/"
