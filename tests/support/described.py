"""The committed description for tests: its schemas as validators, and bodies made from them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import ValidationError
from jsonschema.validators import extend
from openapi_schema_validator import OAS30Validator, oas30_format_checker

from local.openapi.cli import DOCUMENT
from local.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTION: Any = json.loads((ROOT / DOCUMENT).read_text())
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
# What other members hold, and what nobody should send.
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 340, 1.5, 340.0, "", " ", "true", "3", [], [None], [[]], {}, {"id": "x"}),
    *("adele@contoso.com", " Adele@contoso.com\u200b", "8f5d7f3e-0000-4000-8000-000000000001", "me", "../users"),
    *("adele", "a@b", "a@@contoso.com", "adele @contoso.com", "a" * 65 + "@contoso.com", "adele@contoso.com\n"),
    *("adele@contoso", "{8f5d7f3e-0000-4000-8000-000000000001}", "$filter", "ünï@contoso.com", "a" * 256, "a" * 1001),
    *("department eq 'HP'", "a\nb", "\u0085", "\x1cx\x1c", "x\x7f", "a" * 4001, "k\u00e4y", "key ", " key", "k e y"),
    *(["adele@contoso.com"], ["adele@contoso.com", ""], ["8F5D7F3E-0000-4000-8000-00000000000A"], ["x"], [5], [{}]),
    *("2026-09-10T14:32:27Z", "2026-09-10 14:32:27Z", "2026-13-10T14:32:27Z", "2026-09-10T14:32:27.4+02:00", "today"),
    *({"kind": "key"}, {"kind": "key", "id": ""}, {"kind": "entra", "id": "x", "name": None}, {"kind": "queue"}),
    *({"kind": "local", "id": 5}, {"kind": "KEY", "id": "x"}, {"kind": None, "id": "x"}, {"kind": "key", "id": 5}),
)


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not re.search(_at_the_end(pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator = extend(OAS30Validator, {"pattern": _pattern})


def validator(schema: Any) -> Any:
    """A validator of OpenAPI 3.0's schemas, with formats and with references into the description."""
    return _Validator(schema | {"components": DESCRIPTION["components"]}, format_checker=oas30_format_checker)


def bodies(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Bodies by a schema, and such with one or more members that it may refuse."""
    properties = schema["properties"]
    values = {name: _values(part) for name, part in properties.items()}
    must = {name: values.pop(name) for name in schema.get("required", ())}
    right = st.fixed_dictionaries(must, optional=values)
    names = st.sampled_from([*properties, "upn", "User", "$content"])
    # An unknown member that is null is not looked at, which the schema does not say.
    wrong = st.dictionaries(names, st.sampled_from(STRANGE), max_size=2).map(
        lambda found: {name: value for name, value in found.items() if value is not None or name in properties}
    )
    return st.one_of(right, st.builds(lambda one, other: {**one, **other}, right, wrong), st.sampled_from(STRANGE))


@cache
def _matching(pattern: str) -> list[str]:
    """Texts that match; making each anew would take most of the time."""
    found: list[str] = []

    @seed(14)
    @settings(max_examples=60, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.from_regex(_at_the_end(pattern)))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


def _at_the_end(pattern: str) -> str:
    """JSON Schema's ``$`` is the end of the text; Python's also stands before a last line break."""
    return re.sub(r"\$$", r"\\Z", pattern)


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, mostly."""
    if "type" not in schema:
        return st.sampled_from(STRANGE)
    if schema["type"] == "array":
        found = st.lists(_values(schema["items"]), max_size=3)
    else:
        found = {
            "boolean": st.booleans(),
            "integer": st.integers(0, 10**9),
            "object": st.sampled_from([value for value in STRANGE if isinstance(value, dict)]),
            "string": st.text(max_size=20),
        }[schema["type"]]
    if "pattern" in schema:
        found = st.sampled_from(_matching(schema["pattern"]))
    found = st.one_of(found, st.just(schema["example"])) if "example" in schema else found
    return st.one_of(st.none(), found) if schema.get("nullable") else found
