"""The Security Copilot plugin: what its platform takes, what the app has, and nothing that revokes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft4Validator
from openapi_spec_validator import OpenAPIV30SpecValidator

from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import UserStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients import Api

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "integrations" / "security-copilot"
PLUGIN = yaml.safe_load((FOLDER / "plugin.yaml").read_text())
SPEC = yaml.safe_load((FOLDER / "openapi.yaml").read_text())
ANSWERS = (ROOT / "docs" / "answers.md").read_text()
SUBMISSION = ("post", "/api/revocations")
PARTS = {
    "Revocation": "The revocation resource",
    "User": "A user",
    "Error": "An error",
    "Readiness": "Readiness",
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in SPEC["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def documented(title: str) -> set[str]:
    """The members that docs/answers.md has under a heading; a test holds them to what the app answers."""
    text = ANSWERS.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return {re.findall(r"`([^`]+)`", line)[0] for line in text.splitlines() if line.startswith("| `")}


def test_the_manifest_is_one_that_the_platform_takes() -> None:
    """Lengths, characters and names as Security Copilot's own page lists them."""
    assert set(PLUGIN) == {"Descriptor", "SkillGroups"}
    descriptor = PLUGIN["Descriptor"]
    assert re.fullmatch(r"[^/\\?#]{1,100}", descriptor["Name"])
    assert len(descriptor["DisplayName"]) <= 40
    assert len(descriptor["DescriptionDisplay"]) <= 200
    assert len(descriptor["Description"]) <= 16_000
    assert descriptor["SupportedAuthTypes"] == ["ApiKey"]
    authorization = {"Type": "APIKey", "Key": "x-functions-key", "Location": "Header", "AuthScheme": ""}
    assert descriptor["Authorization"] == authorization
    (group,) = PLUGIN["SkillGroups"]
    assert group["Format"] == "API"
    assert group["Settings"]["OpenApiSpecUrl"].endswith("/openapi.yaml")
    assert [setting["Name"] for setting in descriptor["Settings"]] == [group["Settings"]["EndpointUrlSettingName"]]


def test_the_description_is_valid_and_of_the_version_the_platform_reads() -> None:
    """OpenAPI 3.0.1; a newer one is refused on upload."""
    assert SPEC["openapi"] == "3.0.1"
    # Through JSON: YAML reads the keys of some maps as numbers, which no validator takes.
    assert [*OpenAPIV30SpecValidator(json.loads(json.dumps(SPEC))).iter_errors()] == []
    assert all(operation["summary"] and operation["description"] for _, _, operation in operations())
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


def test_no_skill_changes_anything_but_the_submission_that_must_be_a_dry_run() -> None:
    """Whoever talks the model into something has nobody signed out."""
    assert [(method, path) for method, path, _ in operations() if method != "get"] == [SUBMISSION]
    body = SPEC["paths"]["/api/revocations"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert body["required"] is True
    assert schema["properties"]["dryRun"]["enum"] == [True]
    assert (schema["required"], schema["additionalProperties"]) == (["dryRun"], False)


@pytest.mark.parametrize("more", [{}, {"dryRun": False}, {"dryRun": None}, {"dryRun": "true"}, {"dryRun": 1}])
def test_the_schema_refuses_every_body_that_would_revoke(more: dict[str, Any]) -> None:
    """Nothing but true itself passes; a body without dryRun is the real thing to the app."""
    schema = SPEC["paths"]["/api/revocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    checked = Draft4Validator(schema)
    assert not checked.is_valid({"users": ["adele@contoso.com"]} | more)
    assert checked.is_valid({"users": ["adele@contoso.com"], "dryRun": True})


def test_every_skill_is_a_route_of_the_app_that_its_readme_names() -> None:
    """A skill for a route that is not there would answer 404, and the key is made for functions by name."""
    source = (ROOT / "function_app.py").read_text()
    found = re.findall(r'@app\.route\("([^"]+)", methods=\["(\w+)"\].*?\nasync def (\w+)', source)
    functions = {(method.lower(), f"/api/{route}"): name for route, method, name in found}
    skills = re.findall(r"^\| `(\w+)` \|.*\| `(\w+)` \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert dict(skills) == {
        operation["operationId"]: functions[method, path] for method, path, operation in operations()
    }


def test_every_member_and_status_is_one_that_the_app_answers() -> None:
    """A model told of a member that never comes makes up its value."""
    schemas = SPEC["components"]["schemas"]
    for name, title in PARTS.items():
        assert set(schemas[name]["properties"]) <= documented(title), name
    assert set(schemas["Revocation"]["properties"]["counts"]["properties"]) == documented("Counts")
    assert schemas["RequestStatus"]["enum"] == [*RequestStatus]
    assert schemas["UserStatus"]["enum"] == [*UserStatus]


async def test_every_parameter_and_field_is_one_that_the_app_takes(api: Api, person: dict[str, Any]) -> None:
    """An unknown one is a 400: all at once they are taken, and nobody is revoked."""
    values = {"user": person["id"], "status": "failed", "since": "2026-09-10T14:32:27Z", "pageSize": "1"}
    listed = SPEC["paths"]["/api/revocations"]["get"]["parameters"]
    names = [
        SPEC["components"]["parameters"][one["$ref"].split("/")[-1]]["name"] if "$ref" in one else one["name"]
        for one in listed
    ]
    query = "&".join(f"{name}={values[name]}" for name in names if name in values)
    assert set(names) == {*values, "continuationToken"}
    assert (await api.get(f"revocations?{query}")).status == 200
    fields = SPEC["paths"]["/api/revocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = {
        "dryRun": True,
        "users": [person["id"]],
        "groups": [],
        "filter": "department eq 'nowhere'",
        "exclude": [],
        "reason": "INC-1",
    }
    assert set(body) == set(fields["properties"])
    reply = await api.submit(body)
    assert reply.status in (200, 202), reply.text
    done = await api.finished(reply.json["id"])
    assert done.json["status"] == "planned"
