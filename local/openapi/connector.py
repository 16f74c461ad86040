"""The description as a custom connector of Power Platform takes it: Swagger 2.0, made from the OpenAPI document.

What differs, and why (https://learn.microsoft.com/connectors/custom-connectors/certification-submission):

- Only one answer of an operation may have a schema, that of 200 or 201: 202 has none, and neither have refusals.
- Only plain JSON can be declared, and nothing may stand beside a reference.
- The policy that sets each customer's host drops the base path, so it stands in every path.
"""

from __future__ import annotations

import re
from typing import Any, Final

from local.openapi.document import TITLE
from local.openapi.routes import CORRELATION, OPERATIONS, Access, Operation
from local.openapi.schemas import COMPONENTS, Schema
from revoke_core.domain import fields

_DESCRIPTION: Final = (
    "Ends the sign-in sessions of people in Microsoft Entra ID through an app of your own, proves the effect by "
    "reading each sign-in cut-off back, and tells the truth per user. Look at the status of an answer: a request that "
    "was answered may still be running, held or failed."
)
_HOME: Final = "https://github.com/contoso/entra-session-revoker"
_METADATA: Final = (
    ("Website", _HOME),
    ("Privacy policy", f"{_HOME}/blob/main/docs/limits.md"),
    ("Categories", "Security;IT Operations"),
)
# Not of use in a flow, or not callable with a key.
_LEFT_OUT: Final = ("SubmitPayload", "SubmitOwnRevocation", "GetHealth", "HeadHealth", "GetDescription")
_INTERNAL: Final = ("GetOperation",)
# The platform sends these by itself, and asks for JSON.
_PARAMETERS_LEFT_OUT: Final = ("format", *(parameter.name for parameter in CORRELATION))
_IMPORTANT: Final = ("user", "users", "reason", "Idempotency-Key", "status")
_KEPT: Final = (
    "type",
    "format",
    "description",
    "enum",
    "items",
    "required",
    "properties",
    "default",
    "minimum",
    "maximum",
)


def swagger(openapi: dict[str, Any]) -> dict[str, Any]:
    """``apiDefinition.swagger.json``."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        if operation.name not in _LEFT_OUT:
            described = openapi["paths"][operation.path][operation.method]
            paths.setdefault(f"/api{operation.path}", {})[operation.method] = _operation(operation, described)
    schemas = openapi["components"]["schemas"]
    return {
        "swagger": "2.0",
        "info": {
            "title": TITLE,
            "description": _DESCRIPTION,
            "version": openapi["info"]["version"],
            "contact": {"name": "Contoso security operations", "url": _HOME, "email": "security@contoso.com"},
        },
        "host": "contoso-revoker.azurewebsites.net",
        "basePath": "/",
        "schemes": ["https"],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": paths,
        "definitions": {name: _definition(name, schemas[name]) for name in sorted(_used(paths, schemas))},
        "securityDefinitions": {"api_key": {"type": "apiKey", "in": "header", "name": "x-functions-key"}},
        "security": [{"api_key": []}],
        "x-ms-connector-metadata": [{"propertyName": name, "propertyValue": value} for name, value in _METADATA],
    }


def properties() -> dict[str, Any]:
    """``apiProperties.json``: a host and a function key of one's own, and the policy that calls that host."""
    host = _parameter_of_connection(
        "Host name",
        "The host name of your function app, without https and without a path.",
        "For example contoso-revoker.azurewebsites.net.",
        1,
    )
    key = _parameter_of_connection(
        "Function key",
        "A function key of your function app; keys of single functions limit what a flow may do.",
        "Take it from the app keys of the function app.",
        2,
    )
    key["uiDefinition"]["constraints"]["clearText"] = False
    return {
        "properties": {
            "connectionParameters": {"host": {"type": "string", **host}, "api_key": {"type": "securestring", **key}},
            "iconBrandColor": "#0b6a6a",
            "capabilities": [],
            "policyTemplateInstances": [
                {
                    "templateId": "dynamichosturl",
                    "title": "Call the function app of this connection",
                    "parameters": {"x-ms-apimTemplateParameter.urlTemplate": "https://@connectionParameters('host')"},
                }
            ],
            "publisher": "Contoso",
            "stackOwner": "Contoso",
        }
    }


def title_of(name: str) -> str:
    """``expectedUsers`` as people read it: Expected users."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("-", " ").lower()
    return words[0].upper() + words[1:]


def _parameter_of_connection(name: str, description: str, tooltip: str, place: int) -> dict[str, Any]:
    constraints: dict[str, Any] = {"required": "true", "tabIndex": place}
    shown = {"displayName": name, "description": description, "tooltip": tooltip, "constraints": constraints}
    return {"uiDefinition": shown}


def _operation(operation: Operation, described: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        _parameter(parameter)
        for parameter in described.get("parameters", ())
        if parameter["name"] not in _PARAMETERS_LEFT_OUT
    ]
    if operation.body:
        parameters.append(
            {
                "name": "body",
                "in": "body",
                "required": operation.body_is_required,
                "description": operation.body.description,
                "schema": {"$ref": f"#/definitions/{operation.body.name}"},
            }
        )
    content: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "x-ms-visibility": "internal" if operation.name in _INTERNAL else "important",
    }
    content |= {"parameters": parameters} if parameters else {}
    content |= {"x-ms-pageable": {"nextLinkName": "nextLink"}} if operation.answer.endswith("List") else {}
    content |= {"security": []} if operation.access is Access.NOTHING else {}
    return content | {"responses": _responses(operation, described["responses"])}


def _responses(operation: Operation, described: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in ("200", "202"):
        if status in described:
            responses[status] = {"description": described[status]["description"]}
    if "200" in responses:
        responses["200"]["schema"] = {"$ref": f"#/definitions/{operation.answer}"}
    return responses | {"default": {"description": "The call was refused or failed: the body says why and what to do."}}


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    name = parameter["name"]
    content: dict[str, Any] = {
        "name": name,
        "in": parameter["in"],
        "required": parameter["required"],
        "description": parameter["description"],
        **{key: parameter["schema"][key] for key in _KEPT if key in parameter["schema"]},
        "x-ms-summary": title_of(name),
    }
    if parameter["in"] == "path":
        content["x-ms-url-encoding"] = "single"
    return content if content["required"] else content | {"x-ms-visibility": _visibility(name)}


def _visibility(name: str) -> str:
    return "important" if name in _IMPORTANT else "advanced"


def _definition(name: str, schema: Schema) -> Schema:
    """A named schema; a designer shows of what is sent only what most need, unless it must be given."""
    content = _schema(schema)
    if name in {body.name for body in fields.BODIES}:
        for member, part in content["properties"].items():
            if member not in content.get("required", ()):
                part["x-ms-visibility"] = _visibility(member)
    return content


def _schema(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace(COMPONENTS, "#/definitions/")}
    content: Schema = {key: schema[key] for key in _KEPT if key in schema}
    if "anyOf" in schema and "properties" not in schema:
        content |= _merged(schema["anyOf"])
    if "items" in content:
        content["items"] = _schema(content["items"])
    if "properties" in content:
        content["properties"] = {name: _property(name, part) for name, part in content["properties"].items()}
    return content


def _property(name: str, schema: Schema) -> Schema:
    content = _schema(schema)
    return content if "$ref" in content else content | {"x-ms-summary": title_of(name)}


def _merged(choices: list[Schema]) -> Schema:
    """One object in place of a choice, which Swagger 2.0 lacks: all members, required where all require them."""
    members: dict[str, Schema] = {}
    for choice in choices:
        for name, schema in choice["properties"].items():
            known = members.setdefault(name, dict(schema))
            if "enum" in known:
                known["enum"] = [*dict.fromkeys([*known["enum"], *schema["enum"]])]
    required = [name for name in members if all(name in choice["required"] for choice in choices)]
    return {"required": required, "properties": members}


def _used(part: Any, schemas: dict[str, Schema]) -> set[str]:
    """The names of all definitions that a part refers to, directly or not."""
    found: set[str] = set()
    waiting = set(_references(part))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= set(_references(schemas[name]))
    return found


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"].rpartition("/")[2]] if "$ref" in part else []
        return own + [name for value in part.values() for name in _references(value)]
    return [name for value in part for name in _references(value)] if isinstance(part, list) else []
