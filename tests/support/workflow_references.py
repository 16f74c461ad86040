"""What a definition refers to: actions, fields of the trigger's payload, members of the API's answers, routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflow_engine import named_actions
from workflow_language import Call, Literal, Member, expressions_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_language import Node

LOOPS = ("Foreach",)


@dataclass(frozen=True)
class Read:
    """One path that an expression reads: ``body('Revoke_sessions')?['counts']?['total']``."""

    function: str
    of: str
    path: tuple[str | int, ...]


def calls_in(node: Node) -> Iterator[Call]:
    """Every function call in an expression."""
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from calls_in(argument)
    elif isinstance(node, Member):
        yield from calls_in(node.of)
        yield from calls_in(node.name)


def reads_in(value: Any) -> Iterator[Read]:
    """Every path that the expressions of a part read, longest form."""
    for node in expressions_in(value):
        yield from _reads(node)


def _reads(node: Node) -> Iterator[Read]:
    if isinstance(node, Call):
        if _is_source(node):
            yield Read(node.name, _argument(node), ())
        else:
            for argument in node.arguments:
                yield from _reads(argument)
    elif isinstance(node, Member):
        path: list[str | int] = []
        inner: Node = node
        while isinstance(inner, Member) and isinstance(inner.name, Literal):
            path.insert(0, inner.name.value)
            inner = inner.of
        if isinstance(inner, Call) and _is_source(inner):
            yield Read(inner.name, _argument(inner), tuple(path))
        else:
            yield from _reads(inner)


def _is_source(call: Call) -> bool:
    return all(isinstance(argument, Literal) for argument in call.arguments) and call.name in (
        *("triggerBody", "body", "outputs", "actions", "items", "item", "parameters", "variables", "workflow"),
    )


def _argument(call: Call) -> str:
    return str(call.arguments[0].value) if call.arguments and isinstance(call.arguments[0], Literal) else ""


def settled_before(actions: dict[str, Any], above: frozenset[str] = frozenset()) -> Iterator[tuple[str, set[str]]]:
    """Each action of a definition with the actions that it may read: those that are over when it begins.

    These are the ones its ``runAfter`` leads back to, those inside of them unless they are loops, and what may be read
    by the scope it is in.
    """
    for name, action in actions.items():
        before: set[str] = set(above)
        waiting = list(action.get("runAfter", {}))
        while waiting:
            one = waiting.pop()
            before.add(one)
            if actions[one]["type"] not in LOOPS:
                before |= {inner for inner, _ in named_actions({one: actions[one]})}
            waiting += actions[one].get("runAfter", {})
        yield name, before
        for nested in (action.get("actions", {}), action.get("else", {}).get("actions", {})):
            yield from settled_before(nested, frozenset(before))


def own_parts(action: dict[str, Any]) -> dict[str, Any]:
    """An action without the actions inside of it."""
    return {name: part for name, part in action.items() if name not in ("actions", "else", "runAfter")}
