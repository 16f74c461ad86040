"""What the public Azure-Sentinel repository asks of a playbook's template, in our own words.

Source: Azure/Azure-Sentinel, ``.script/playbooksValidator.ts`` and ``.script/utils/playbookCheckers``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
RESOURCE_MEMBERS = {"type", "apiVersion", "name"}
TEMPLATE_MEMBERS = {"$schema", "contentVersion", "metadata", "parameters", "variables", "resources", "outputs"}
PARAMETER_TYPES = {"string", "securestring", "int", "bool", "object", "secureobject", "array"}
ENTITIES = {
    *("account", "host", "ip", "url", "azureresource", "cloudapplication", "dnsresolution", "file", "filehash"),
    *("hostlogonsession", "iotdevice", "malware", "networkconnection", "process", "registrykey", "registryvalue"),
    *("securitygroup", "mailbox", "mailcluster", "mailmessage", "submissionmail"),
}


def faults(template: dict[str, Any]) -> list[str]:
    """Everything the repository's checks would refuse."""
    return [*_schema(template), *_playbook(template), *_connections(template), *_metadata(template.get("metadata", {}))]


def _of(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [resource for resource in template["resources"] if resource["type"] == kind]


def _schema(template: dict[str, Any]) -> Iterator[str]:
    if template.get("$schema") != SCHEMA or not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", template.get("contentVersion", "")):
        yield "no deployment template"
    yield from (f"unknown member {name}" for name in set(template) - TEMPLATE_MEMBERS)
    for name, parameter in template.get("parameters", {}).items():
        if parameter.get("type") not in PARAMETER_TYPES:
            yield f"parameter {name} has no type"
    for resource in template["resources"]:
        yield from (f"a resource without {name}" for name in RESOURCE_MEMBERS - set(resource))


def _playbook(template: dict[str, Any]) -> Iterator[str]:
    if "PlaybookName" not in template.get("parameters", {}):
        yield "no parameter PlaybookName"
    named = [one for one in _of(template, "Microsoft.Logic/workflows") if one["name"] == "[parameters('PlaybookName')]"]
    if len(named) != 1:
        yield f"{len(named)} workflows are named by PlaybookName"
    if any(one.get("location", "").lower() != "[resourcegroup().location]" for one in named):
        yield "the playbook is not where its group is"


def _connections(template: dict[str, Any]) -> Iterator[str]:
    for connection in _of(template, "Microsoft.Web/connections"):
        found = re.fullmatch(r"\[variables\('(\w+)'\)\]", connection["name"])
        if not found or found[1] not in template.get("variables", {}):
            yield f"connection {connection['name']} is not named by a variable"


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    given = {name: metadata.get(name) for name in ("title", "description", "lastUpdateTime")}
    given["support.tier"] = metadata.get("support", {}).get("tier")
    given["author.name"] = metadata.get("author", {}).get("name")
    yield from (f"metadata lacks {name}" for name, value in given.items() if not (value or "").strip())
    try:
        datetime.fromisoformat(metadata.get("lastUpdateTime", ""))
    except ValueError:
        yield "lastUpdateTime is no time"
    yield from (f"unknown entity {one}" for one in metadata.get("entities", []) if one.lower() not in ENTITIES)
