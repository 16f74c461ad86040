"""The API's description in OpenAPI 3.0.1, from the tables."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from local.openapi.answers import ANSWERS
from local.openapi.routes import HEADERS, HEADERS_OF, OPERATIONS, STATUSES, Access, Operation
from local.openapi.schemas import Schema, body_schema, example_of, ref
from revoke_core.domain import fields
from revoke_core.entrypoints.http.render import CSV_COLUMNS

TITLE: Final = "Entra Session Revoker"
DESCRIPTION: Final = (
    "Ends sign-in sessions in Microsoft Entra ID and proves it. A request is durable once it is answered with 2xx; "
    "a 4xx means that nothing happened; after a 5xx or no answer repeat the call with the same Idempotency-Key. A "
    "status of 200 is no success by itself: look at the member status. A JSON body is read whatever its Content-Type "
    "says. What the schemas of bodies cannot say: members may not be doubled, a text may hold no lone surrogates, "
    "settings of the app limit the number of users (MAX_USERS) and may require a reason (REQUIRE_REASON), and "
    "Microsoft Graph has the last word on a filter."
)
_SECURITY: Final[dict[Access, list[dict[str, list[str]]]]] = {
    Access.KEY_OR_ROLE: [{"functionKey": []}, {"functionKeyInQuery": []}, {"entra": []}],
    Access.ENTRA_ONLY: [{"entra": []}],
    Access.NOTHING: [],
}
_SCHEMES: Final = {
    "functionKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-functions-key",
        "description": "A function key, while ENTRA_AUTHENTICATION is off. Hand out the keys of single functions.",
    },
    "functionKeyInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "code",
        "description": "The same in the address, where it ends in logs. The header is better.",
    },
    "entra": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of Microsoft Entra ID for this app, while ENTRA_AUTHENTICATION is on.",
    },
}
_DESCRIPTION_SCHEMA: Final[Schema] = {
    "type": "object",
    "description": "This description.",
    "additionalProperties": True,
}
_PAYLOAD: Final[dict[str, Any]] = {
    "required": True,
    "description": "What the other product sends, as it is; the page on payloads says where each shape has its users.",
    "content": {
        "application/json": {
            "schema": {"type": "object", "description": "A payload of the shape.", "additionalProperties": True},
            "example": fields.PAYLOAD.example,
        },
        "text/csv": {
            "schema": {"type": "string", "description": "The shape csv: a header row, and a line for each user."},
            "example": "userPrincipalName\nadele@contoso.com\n",
        },
    },
}


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.0.1",
        "info": {
            "title": TITLE,
            "description": DESCRIPTION,
            "version": version,
            "license": {"name": "MIT"},
        },
        "servers": [{"url": "http://localhost:7071/api", "description": "The served description names its own app."}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": {_phrase(status): _refusal(status) for status in STATUSES if _is_refusal(status)},
            "headers": {
                name: {"description": schema["description"], "schema": _bare(schema)}
                for name, schema in HEADERS.items()
            },
            "securitySchemes": _SCHEMES,
        },
    }


def schemas() -> dict[str, Schema]:
    """Every named schema."""
    answers = {name: schema | {"example": example_of(schema, ANSWERS)} for name, schema in ANSWERS.items()}
    bodies = {body.name: body_schema(body) for body in (*fields.BODIES, fields.PAYLOAD_MESSAGE)}
    return answers | bodies | {"Description": _DESCRIPTION_SCHEMA}


def _operation(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.description, operation.roles))),
        "security": _SECURITY[operation.access],
    }
    if operation.parameters:
        content["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.is_required,
                "description": parameter.schema["description"],
                "schema": _bare(parameter.schema),
            }
            for parameter in operation.parameters
        ]
    if operation.body:
        content["requestBody"] = {
            "required": operation.body_is_required,
            "description": operation.body.description,
            "content": {"application/json": {"schema": ref(operation.body.name), **_examples(operation.body)}},
        }
    if operation.takes_payload:
        content["requestBody"] = _PAYLOAD
    content["responses"] = {str(status): _response(operation, status) for status in operation.statuses}
    return content


def _examples(body: fields.Body) -> dict[str, Any]:
    if body is not fields.SUBMIT:
        return {"example": body.example}
    found = (
        ("oneUser", "One user", _given(fields.USER, fields.REASON)),
        ("severalUsers", "Several users", _given(fields.USERS)),
        ("group", "Whom a group would hit", _given(fields.GROUPS) | {fields.DRY_RUN.name: True}),
        ("filter", "A filter, confirmed in advance", _given(fields.FILTER, fields.EXCLUDE, fields.EXPECTED_USERS)),
    )
    return {"examples": {name: {"summary": summary, "value": value} for name, summary, value in found}}


def _given(*given: fields.Field[Any]) -> dict[str, Any]:
    return {field.name: field.example for field in given}


def _response(operation: Operation, status: int) -> dict[str, Any]:
    if _is_refusal(status) and not _is_readiness(operation, status):
        if operation.method == "head":
            return {"description": STATUSES[status]}
        return {"$ref": f"#/components/responses/{_phrase(status)}"}
    names = HEADERS_OF.get(status, ()) if operation.answer == "Revocation" else ()
    names = (*names, *operation.sent_headers, "Cache-Control")
    response: dict[str, Any] = {"description": _told(operation, status), "headers": _headers(names)}
    if operation.method == "head":
        return response
    response["content"] = {"application/json": {"schema": ref(operation.answer)}}
    if operation.has_csv:
        columns = ",".join(CSV_COLUMNS)
        response["content"]["text/csv"] = {"schema": {"type": "string", "description": f"With the columns {columns}."}}
    return response


def _refusal(status: int) -> dict[str, Any]:
    return {
        "description": STATUSES[status],
        "headers": _headers((*HEADERS_OF.get(status, ()), "Cache-Control")),
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _told(operation: Operation, status: int) -> str:
    if _is_readiness(operation, status):
        return "The app could not revoke now: the answer says what is missing."
    if operation.answer == "Revocation":
        return STATUSES[status]
    return "The answer." if status == HTTPStatus.OK else "The requests are told to end."


def _is_refusal(status: int) -> bool:
    return status >= HTTPStatus.BAD_REQUEST


def _is_readiness(operation: Operation, status: int) -> bool:
    """Readiness says what is missing in the form of its 200."""
    return operation.answer == "Readiness" and status == HTTPStatus.SERVICE_UNAVAILABLE


def _phrase(status: int) -> str:
    """``NotFound`` for 404."""
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _bare(schema: Schema) -> Schema:
    """A schema whose description stands beside it."""
    return {name: value for name, value in schema.items() if name != "description"}
