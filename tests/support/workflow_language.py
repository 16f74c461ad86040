"""Expressions of the workflow definition language: parsed, and evaluated as strictly as any engine might.

Only what the definitions in ``integrations/`` use is known; everything else is an error. Where the real engine may be
more lenient, this one is not: the arguments of ``if`` and ``coalesce`` are all evaluated, a member of nothing is an
error unless ``?`` stands before it, and names of members are compared with their case.
https://learn.microsoft.com/azure/logic-apps/workflow-definition-language-functions-reference
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class LanguageError(Exception):
    """An expression that is malformed, that is not known here, or that fails when it is evaluated."""


@dataclass(frozen=True)
class Literal:
    """A text, a number, ``true``, ``false`` or ``null``."""

    value: Any


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Member:
    """``of?['name']`` (``is_safe``), ``of['name']`` or ``of.name``."""

    of: Node
    name: Node
    is_safe: bool


type Node = Literal | Call | Member
type Functions = Mapping[str, Callable[..., Any]]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<word>[A-Za-z_]\w*)|(?P<sign>\?\[|[()\[\],.]))"
)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> Node:
        node = self.node()
        if self._text[self._at :].strip():
            raise LanguageError(f"unexpected {self._text[self._at :]!r} in {self._text!r}")
        return node

    def node(self) -> Node:
        kind, token = self._take()
        if kind == "text":
            node: Node = Literal(token[1:-1].replace("''", "'"))
        elif kind == "number":
            node = Literal(int(token))
        elif kind == "word" and token in ("true", "false", "null"):
            node = Literal({"true": True, "false": False, "null": None}[token])
        elif kind == "word":
            node = Call(token, self._arguments())
        else:
            raise LanguageError(f"unexpected {token!r} in {self._text!r}")
        while (sign := self._peek()) in ("[", "?[", "."):
            self._take()
            if sign == ".":
                node = Member(node, Literal(self._take()[1]), is_safe=False)
            else:
                node = Member(node, self.node(), is_safe=sign == "?[")
                self._expect("]")
        return node

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while self._peek() != ")":
            if found:
                self._expect(",")
            found.append(self.node())
        self._expect(")")
        return tuple(found)

    def _peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        return match[0].strip() if match else ""

    def _take(self) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._at)
        if not match or not match.lastgroup:
            raise LanguageError(f"cannot read {self._text[self._at :]!r} in {self._text!r}")
        self._at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _expect(self, sign: str) -> None:
        if self._take()[1] != sign:
            raise LanguageError(f"{sign!r} is missing in {self._text!r}")


def parts_of(text: str) -> list[str | Node]:
    """A text of a definition as texts and expressions; a lone expression is the only part."""
    if text.startswith("@@"):
        return [text[1:]]
    if text.startswith("@") and not text.startswith("@{"):
        return [_Parser(text[1:]).whole()]
    parts: list[str | Node] = []
    at = 0
    while (start := text.find("@{", at)) >= 0:
        end = _end_of(text, start + 2)
        parts += [text[at:start], _Parser(text[start + 2 : end]).whole()]
        at = end + 1
    return [*parts, text[at:]]


def _end_of(text: str, start: int) -> int:
    """Where the brace that closes an expression stands; one inside a quoted text does not close it."""
    is_quoted = False
    for at in range(start, len(text)):
        is_quoted ^= text[at] == "'"
        if text[at] == "}" and not is_quoted:
            return at
    raise LanguageError(f"'}}' is missing in {text!r}")


def expressions_in(value: Any) -> Iterator[Node]:
    """Every expression in a part of a definition."""
    if isinstance(value, str):
        yield from (part for part in parts_of(value) if not isinstance(part, str))
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from expressions_in(item)


def evaluated(value: Any, functions: Functions) -> Any:
    """A part of a definition with its expressions evaluated."""
    if isinstance(value, dict):
        return {evaluated(name, functions): evaluated(item, functions) for name, item in value.items()}
    if isinstance(value, list):
        return [evaluated(item, functions) for item in value]
    if not isinstance(value, str):
        return value
    parts = parts_of(value)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return _value(parts[0], functions)
    return "".join(part if isinstance(part, str) else as_text(_value(part, functions)) for part in parts)


def as_text(value: Any) -> str:
    """What ``string()`` and ``@{}`` make of a value."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(node: Node, functions: Functions) -> Any:
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Member):
        return _member(_value(node.of, functions), _value(node.name, functions), is_safe=node.is_safe)
    known = FUNCTIONS | dict(functions)
    if node.name not in known:
        raise LanguageError(f"{node.name}() is not emulated here")
    if node.name == "if" and LAZY in functions:
        condition, then, otherwise = node.arguments
        return _value(then if _value(condition, functions) is True else otherwise, functions)
    arguments = [_value(argument, functions) for argument in node.arguments]
    try:
        return known[node.name](*arguments)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise LanguageError(f"{node.name}() cannot take {arguments!r}: {error}") from error


def _member(of: Any, name: Any, *, is_safe: bool) -> Any:
    if of is None and is_safe:
        return None
    if isinstance(of, dict) and isinstance(name, str):
        if name in of or is_safe:
            return of.get(name)
    elif isinstance(of, list) and isinstance(name, int) and (name < len(of) or is_safe):
        return of[name] if name < len(of) else None
    raise LanguageError(f"there is no member {name!r} in {of!r}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def _chunk(values: Any, length: int) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError("an array is wanted")
    return [values[at : at + length] for at in range(0, len(values), length)]


# With this among the functions an ``if`` evaluates only the value it takes, without it both: a definition has to get
# along with either engine.
LAZY = "lazy if"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "equals": lambda left, right: type(left) is type(right) and left == right,
    "not": lambda value: value is False,
    "if": lambda condition, then, otherwise: then if condition is True else otherwise,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "empty": lambda value: value is None or len(value) == 0,
    "length": len,
    "split": lambda value, by: _text(value).split(_text(by)),
    "utcNow": lambda form: {"R": format_datetime(datetime.now(UTC), usegmt=True)}[_text(form)],
    "trim": lambda value: _text(value).strip(),
    "base64": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "setProperty": lambda of, name, value: {**of, _text(name): value},
    "contains": lambda of, value: value in of,
    "startsWith": lambda value, start: _text(value).startswith(start),
    "concat": lambda *values: "".join(as_text(value) for value in values),
    "replace": lambda value, old, new: _text(value).replace(_text(old), _text(new)),
    "string": as_text,
    "json": lambda value: json.loads(_text(value)),
    "base64ToString": lambda value: base64.b64decode(_text(value)).decode(),
    "encodeURIComponent": lambda value: quote(_text(value), safe="-_.!~*'()"),
    "createArray": lambda first, *more: [first, *more],
    "chunk": _chunk,
}
