"""JSON schemas in the words of OpenAPI 3.0: of what callers send, from the app's own tables, and parts for answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.identifiers import BLANKS, KEY_FORM, LONGEST_GIVEN, OBJECT_ID_FORM, UPN_FORM
from revoke_core.domain.request_record import CALLER_KINDS, RequestedBy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from revoke_core.domain.fields import Body, Field, Kind

type Schema = dict[str, Any]

COMPONENTS: Final = "#/components/schemas/"
_TIME: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))


# ---- parts


def text(description: str, example: Any, **more: Any) -> Schema:
    """A text."""
    return {"type": "string", "description": description, "example": example, **more}


def moment(description: str, example: str = "2026-09-10T14:32:27.459Z", **more: Any) -> Schema:
    """A time."""
    return text(description, example, format="date-time", **more)


def link(description: str, example: str, **more: Any) -> Schema:
    """An absolute URL."""
    return text(description, example, format="uri", **more)


def choice(description: str, values: Iterable[str], example: str, **more: Any) -> Schema:
    """One of some texts."""
    return text(description, example, enum=list(values), **more)


def number(description: str, example: int, **more: Any) -> Schema:
    """A whole number, 0 or more."""
    return {"type": "integer", "description": description, "example": example, "minimum": 0, **more}


def flag(description: str, example: bool, **more: Any) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description, "example": example, **more}


def array(description: str, items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "description": description, "items": items, **more}


def ref(name: str) -> Schema:
    """Another schema; nothing may stand beside it, so its description is its own."""
    return {"$ref": COMPONENTS + name}


def members(description: str, properties: dict[str, Schema], *, sometimes: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object whose members are always there but for those that ``sometimes`` names."""
    always = [name for name in properties if name not in sometimes]
    required = {"required": always} if always else {}
    return {"type": "object", "description": description, **required, "properties": properties, **more}


def example_of(schema: Schema, components: dict[str, Schema]) -> Any:
    """An example put together from the examples of the parts; members that are not always there are left out."""
    if "$ref" in schema:
        return example_of(components[schema["$ref"].removeprefix(COMPONENTS)], components)
    if "example" in schema:
        return schema["example"]
    if schema["type"] == "array":
        return [example_of(schema["items"], components)]
    return {name: example_of(schema["properties"][name], components) for name in schema.get("required", ())}


# ---- what callers send


def body_schema(body: Body) -> Schema:
    """The schema of a request body. A member that is ``null`` is absent, so all may be ``null`` but the required."""
    schema: Schema = {
        "type": "object",
        "description": body.description,
        "additionalProperties": False,
        "properties": {field.name: field_schema(field) for field in body.fields},
        "example": body.example,
    }
    if required := [field.name for field in body.fields if field.missing]:
        schema["required"] = required
    if body.one_of:
        schema["anyOf"] = [_is_given(field) for field in body.one_of]
    return schema


def field_schema(field: Field[Any]) -> Schema:
    """The schema of one member."""
    schema: Schema = {"description": field.description, "example": field.example, **_kind_schema(field)}
    if field.default is not None:
        schema["default"] = field.default
    return schema if field.missing else schema | {"nullable": True}


def query_schema(field: Field[Any]) -> Schema:
    """The schema of a member that stands in the query; a list is a text with commas, and may be repeated."""
    schema = {"type": "string"} if field.kind == "users" else _kind_schema(field)
    example = ",".join(field.example) if field.kind == "users" else field.example
    default = {} if field.default is None else {"default": field.default}
    return {"description": field.description, "example": example, **schema, **default}


def _is_given(field: Field[Any]) -> Schema:
    """That a member is there, and neither ``null`` nor an empty list."""
    is_list = field.kind in ("users", "groups")
    given: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 1} if is_list else {"type": "string"}
    return {"type": "object", "required": [field.name], "properties": {field.name: given}}


def _kind_schema(field: Field[Any]) -> Schema:
    user = {"type": "string", "pattern": _blanks_around(f"(?:{OBJECT_ID_FORM}|{UPN_FORM})"), "maxLength": LONGEST_GIVEN}
    group = {"type": "string", "pattern": _blanks_around(OBJECT_ID_FORM)}
    schemas: dict[Kind, Schema] = {
        "user": user,
        "users": {"type": "array", "items": {"description": "One user.", **user}},
        "groups": {"type": "array", "items": {"description": "The object id of one group.", **group}},
        "filter": {"type": "string", "pattern": _one_line()},
        "text": {"type": "string"},
        "key": {"type": "string", "pattern": f"^{KEY_FORM}$", "minLength": 1},
        "count": {"type": "integer", "minimum": 0},
        "flag": {"type": "boolean"},
        "caller": _caller(),
        "time": {"type": "string", "format": "date-time", "pattern": f"^{_TIME}$"},
        "any": {},
    }
    schema = schemas[field.kind]
    if field.longest is None:
        return schema
    return schema | {"maxLength" if schema["type"] == "string" else "maxItems": field.longest}


def _caller() -> Schema:
    """A caller needs an id where its kind has one; other members, as requests show them, change nothing."""
    known = [kind for kind in CALLER_KINDS if RequestedBy(kind=kind).has_own_id]
    others = [kind for kind in CALLER_KINDS if kind not in known]
    identity = text("A key's fingerprint, or an object id in Entra.", "5d41402abc4b2a76", minLength=1)
    with_id = {"kind": choice("What kind of caller.", known, known[0]), "id": identity}
    without = {"kind": choice("What kind of caller.", others, others[0])}
    return {
        "type": "object",
        "anyOf": [
            {"type": "object", "required": list(properties), "properties": properties}
            for properties in (with_id, without)
        ],
    }


def _blanks_around(form: str) -> str:
    blanks = _class_of(map(ord, BLANKS))
    return f"^[{blanks}]*{form}[{blanks}]*$"


def _one_line() -> str:
    """A text that is not blank and holds no control characters, but for white space around it."""
    space = [code for code in range(0x3001) if chr(code).isspace()]
    inside = _class_of(_CONTROLS)
    edge = _class_of({*space, *_CONTROLS})
    return f"^[{_class_of(space)}]*[^{edge}](?:[^{inside}]*[^{edge}])?[{_class_of(space)}]*$"


def _class_of(codes: Iterable[int]) -> str:
    """The inside of a character class, as runs of escapes that every dialect of regular expressions reads alike."""
    runs: list[list[int]] = []
    for code in sorted(set(codes)):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"\\u{a:04x}" if a == b else f"\\u{a:04x}-\\u{b:04x}" for a, b in runs)
