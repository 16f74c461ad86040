"""What Power Platform asks of a custom connector's definition, one function a rule; each names what breaks it.

https://learn.microsoft.com/connectors/custom-connectors/certification-submission
https://learn.microsoft.com/connectors/custom-connectors/connector-string-guidance
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_BRANDS = re.compile(r"\b(API|Connector|Power Apps|Power Automate|Power Platform|Copilot Studio)\b", re.IGNORECASE)
_MIME_TYPES = (
    *("application/json", "text/plain"),
    *("application/x-www-form-urlencoded", "multipart/form-data"),
)
_VISIBILITIES = ("important", "advanced", "internal", "none")
_CATEGORIES = (
    *("AI", "Business Management", "Business Intelligence", "Collaboration", "Commerce", "Communication"),
    *("Content and Files", "Data", "Finance", "Human Resources", "Internet of Things", "IT Operations"),
    *("Lifestyle and Entertainment", "Marketing", "Productivity", "Sales and CRM", "Security", "Social Media"),
    "Website",
)


def operations(swagger: Any) -> Iterator[tuple[str, Any]]:
    """Every operation with its name."""
    for path, methods in swagger["paths"].items():
        for method in methods.keys() & set(_METHODS):
            yield f"{method} {path}", methods[method]


def schemas(swagger: Any) -> Iterator[tuple[str, Any]]:
    """Every schema at any depth with its place."""
    for name, schema in swagger["definitions"].items():
        yield from _within(name, schema)
    for name, operation in operations(swagger):
        for place, part in (*operation["responses"].items(), *enumerate(operation.get("parameters", ()))):
            if "schema" in part:
                yield from _within(f"{name} {place}", part["schema"])


def _within(place: str, schema: Any) -> Iterator[tuple[str, Any]]:
    yield place, schema
    for name, part in schema.get("properties", {}).items():
        yield from _within(f"{place}.{name}", part)
    if "items" in schema:
        yield from _within(f"{place}[]", schema["items"])


def parameters(swagger: Any) -> Iterator[tuple[str, Any]]:
    """Every parameter with its place."""
    for name, operation in operations(swagger):
        for parameter in operation.get("parameters", ()):
            yield f"{name} {parameter['name']}", parameter


def _size(swagger: Any) -> Iterator[str]:
    if len(json.dumps(swagger)) > 1_000_000:
        yield "larger than 1 MB"
    if len(list(operations(swagger))) > 256:
        yield "more than 256 operations"
    if len(list(schemas(swagger))) > 512:
        yield "more than 512 schemas"


def _info(swagger: Any) -> Iterator[str]:
    info = swagger["info"]
    if swagger["swagger"] != "2.0":
        yield "not Swagger 2.0"
    if len(info["title"]) > 30 or _BRANDS.search(info["title"]):
        yield "the title is too long, or names the platform"
    if not 30 <= len(info["description"]) <= 500:
        yield "the description has not 30 to 500 characters"
    if set(info.get("contact", {})) != {"name", "url", "email"}:
        yield "no contact"


def _metadata(swagger: Any) -> Iterator[str]:
    found = {entry["propertyName"]: entry["propertyValue"] for entry in swagger.get("x-ms-connector-metadata", ())}
    if set(found) != {"Website", "Privacy policy", "Categories"}:
        yield "metadata"
    categories = found.get("Categories", "").split(";")
    if len(categories) > 2 or not set(categories) <= set(_CATEGORIES):
        yield "categories"


def _names(swagger: Any) -> Iterator[str]:
    seen: set[str] = set()
    for name, operation in operations(swagger):
        identity = operation["operationId"]
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", identity) or identity in seen:
            yield f"{name}: operationId {identity}"
        seen.add(identity)
        if not re.fullmatch(r"[A-Z][A-Za-z0-9() ]{0,79}", operation["summary"]):
            yield f"{name}: summary {operation['summary']}"


def _sentences(swagger: Any) -> Iterator[str]:
    parts = [("info", swagger["info"]), *operations(swagger), *parameters(swagger)]
    parts += [(place, schema) for place, schema in schemas(swagger) if "$ref" not in schema]
    for name, operation in operations(swagger):
        parts += [(f"{name} {status}", response) for status, response in operation["responses"].items()]
    for place, part in parts:
        if not re.fullmatch(r"[A-Z].+\.", part.get("description", "")):
            yield f"{place}: {part.get('description')!r} is no full sentence"


def _paths(swagger: Any) -> Iterator[str]:
    for place, parameter in parameters(swagger):
        if parameter["in"] == "path" and parameter.get("x-ms-url-encoding") != "single":
            yield f"{place}: x-ms-url-encoding"


def _titles(swagger: Any) -> Iterator[str]:
    shown = [(place, part) for place, part in parameters(swagger) if part["in"] != "body"]
    shown += [(place, schema) for place, schema in schemas(swagger) if "." in place and not place.endswith("[]")]
    for place, part in shown:
        if "$ref" not in part and not 0 < len(part.get("x-ms-summary", "")) <= 80:
            yield f"{place}: x-ms-summary"
    for place, part in (*operations(swagger), *parameters(swagger)):
        if part.get("x-ms-visibility", "none") not in _VISIBILITIES:
            yield f"{place}: x-ms-visibility"


def _one_answer(swagger: Any) -> Iterator[str]:
    for name, operation in operations(swagger):
        with_schema = [status for status, response in operation["responses"].items() if "schema" in response]
        if len(with_schema) > 1 or not set(with_schema) <= {"200", "201"}:
            yield f"{name}: schemas at {with_schema}"
        if "default" not in operation["responses"]:
            yield f"{name}: no default"


def _references(swagger: Any) -> Iterator[str]:
    for place, schema in schemas(swagger):
        if "$ref" in schema and len(schema) > 1:
            yield f"{place}: something beside $ref"
        if "$ref" in schema and schema["$ref"].removeprefix("#/definitions/") not in swagger["definitions"]:
            yield f"{place}: {schema['$ref']} leads nowhere"


def _no_empty_schema(swagger: Any) -> Iterator[str]:
    for place, schema in schemas(swagger):
        is_full = {"object": bool(schema.get("properties")), "array": "items" in schema}
        if "$ref" not in schema and not is_full.get(schema.get("type", ""), "type" in schema):
            yield f"{place}: an empty schema"


def _mime_types(swagger: Any) -> Iterator[str]:
    for place, part in (("whole", swagger), *operations(swagger)):
        if not {*part.get("consumes", ()), *part.get("produces", ())} <= set(_MIME_TYPES):
            yield f"{place}: MIME types"


def _paging(swagger: Any) -> Iterator[str]:
    for name, operation in operations(swagger):
        answer = operation["responses"].get("200", {}).get("schema", {})
        pages = swagger["definitions"].get(answer.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        is_paged = "nextLink" in pages or "@odata.nextLink" in pages
        named = operation.get("x-ms-pageable", {}).get("nextLinkName")
        if is_paged != (named in pages if named else False):
            yield f"{name}: x-ms-pageable"


def _dynamic_values(swagger: Any) -> Iterator[str]:
    for place, parameter in parameters(swagger):
        values = parameter.get("x-ms-dynamic-values")
        if values and "/" in json.dumps(values.get("parameters", {})) and "x-ms-dynamic-list" not in parameter:
            yield f"{place}: x-ms-dynamic-list"


RULES: dict[str, Callable[[Any], Iterator[str]]] = {
    "size": _size,
    "title, description and contact": _info,
    "metadata": _metadata,
    "names of operations": _names,
    "full sentences": _sentences,
    "path parameters are encoded once": _paths,
    "titles and visibilities": _titles,
    "one answer has a schema, and it is 200": _one_answer,
    "nothing beside a reference": _references,
    "no empty schema": _no_empty_schema,
    "MIME types": _mime_types,
    "paging": _paging,
    "dynamic values": _dynamic_values,
}
