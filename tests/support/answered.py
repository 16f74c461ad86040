"""An app whose every answer is held against the description, and what of the description was answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from described import DESCRIPTION, SCHEMAS, validator
from principals import CONFIRM, READ, SUBMIT, signed_in

from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from outages import House

    from revoke_core.bootstrap import App
    from revoke_core.entrypoints.http.response import HttpResponse

ROUTES: Mapping[str, Callable[[App, HttpCall, str], Awaitable[HttpResponse]]] = {
    "SubmitRevocation": lambda app, call, _: app.submit.submit(call),
    "SubmitPayload": lambda app, call, shape: app.submit.submit_payload(call, shape),
    "SubmitOwnRevocation": lambda app, call, _: app.submit.submit_own(call),
    "ListRevocations": lambda app, call, _: app.read.requests(call),
    "GetRevocation": lambda app, call, about: app.read.request(call, about),
    "ListRevocationUsers": lambda app, call, about: app.read.users(call, about),
    "ConfirmRevocation": lambda app, call, about: app.control.confirm(call, about),
    "CancelRevocation": lambda app, call, about: app.control.cancel(call, about),
    "CancelOpenRevocations": lambda app, call, _: app.control.cancel_open(call),
    "RetryRevocation": lambda app, call, about: app.control.retry(call, about),
    "GetOperation": lambda app, call, about: app.read.operation(call, about),
    "GetReadiness": lambda app, call, _: app.read.readiness(call),
    "GetHealth": lambda app, call, _: app.read.health(call),
    "HeadHealth": lambda app, call, _: app.read.health(call),
    "GetDescription": lambda app, call, _: app.read.description(call),
}
EVERYBODY = (SUBMIT, READ, CONFIRM)


def described_operations() -> dict[str, Any]:
    """Every described operation by its name."""
    return {found["operationId"]: found for methods in DESCRIPTION["paths"].values() for found in methods.values()}


def resolved(part: Any) -> Any:
    """What a reference leads to."""
    if "$ref" not in part:
        return part
    found = DESCRIPTION
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def closed(schema: Any) -> Any:
    """The schema without room for members that it does not describe."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    return found | {"additionalProperties": False} if "properties" in schema else found


CLOSED = {name: schema if name == "Description" else closed(schema) for name, schema in SCHEMAS.items()}


@dataclass
class Answered:
    """Notes of what was answered: statuses and headers by operation, members by schema."""

    statuses: set[tuple[str, int]] = field(default_factory=set)
    headers: set[tuple[str, int, str]] = field(default_factory=set)
    members: set[tuple[str, ...]] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    async def call(
        self,
        whole: House,
        name: str,
        about: str = "",
        *,
        content: Any = None,
        roles: tuple[str, ...] | None = EVERYBODY,
        **more: Any,
    ) -> Any:
        """One call by a caller with these roles (``None``: nobody); its answer's JSON, once all of it is described."""
        caller = signed_in(*roles, object_id=ME) if roles is not None else {}
        headers = {key.lower(): value for key, value in (caller | more.pop("headers", {})).items()}
        body = more.pop("body", b"" if content is None else json.dumps(content).encode())
        answer = await ROUTES[name](whole.app, HttpCall(headers=headers, body=body, **more), about)
        self.hold(name, answer)
        return json.loads(answer.body) if "json" in answer.content_type else answer.body.decode()

    def hold(self, name: str, answer: HttpResponse) -> None:
        """Hold one answer against the description."""
        operation = described_operations()[name]
        assert str(answer.status) in operation["responses"], (name, answer.status, answer.body)
        response = resolved(operation["responses"][str(answer.status)])
        assert answer.headers.keys() <= response.get("headers", {}).keys() or name == "HeadHealth", (name, answer)
        self.statuses.add((name, answer.status))
        self.headers |= {(name, answer.status, header) for header in answer.headers}
        if name == "HeadHealth":
            return
        media = response["content"][answer.content_type]
        if answer.content_type == "text/csv":
            assert answer.body.decode().splitlines()[0] in media["schema"]["description"]
            return
        content = json.loads(answer.body)
        self.note(media["schema"]["$ref"].rpartition("/")[2], content)
        if answer.content_type == "application/problem+json":
            self.kinds.add(content["type"])
            assert content["status"] == answer.status

    def note(self, schema: str, content: Any) -> None:
        """Hold one JSON value against a schema that has no room for other members, and note which it has."""
        faults = [fault.message for fault in _validator(schema).iter_errors(content)]
        assert faults == [], (schema, content)
        self.members |= set(_members(content, SCHEMAS[schema], (schema,)))


def members_of(schema: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All members that a schema has, each once, by the named schema that they stand in."""
    for name, part in schema.get("properties", {}).items():
        yield (*place, name)
        inner = part.get("items", part)
        if "$ref" not in inner:
            yield from members_of(inner, (*place, name))


def _members(content: Any, schema: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _members(content, SCHEMAS[name], (name,))
    elif isinstance(content, list):
        for entry in content:
            yield from _members(entry, schema["items"], place)
    elif isinstance(content, dict):
        for name, value in content.items():
            if name in schema.get("properties", {}):
                yield (*place, name)
                yield from _members(value, schema["properties"][name], (*place, name))


def _validator(schema: str) -> Any:
    return validator(CLOSED[schema] | {"components": {"schemas": CLOSED}})


def statuses_of(page: str) -> set[int]:
    """The HTTP statuses that a paragraph on refusals names."""
    return {int(found) for found in re.findall(r"\b([45]\d\d)\b", page)}


ME = "8f5d7f3e-0000-4000-8000-0000000000c1"
