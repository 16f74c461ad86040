"""Route templates of HTTP triggers, matched as ASP.NET Core does: literals first, case does not matter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from local.host.runtime import AppFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.host.runtime import Function

_PARAMETER: Final = re.compile(r"\{(?P<star>\**)(?P<name>\w+)(?::(?P<constraint>[^{}?]+))?(?P<optional>\?)?\}")
_CONSTRAINTS: Final = {
    "int": r"-?\d{1,10}",
    "long": r"-?\d{1,19}",
    "guid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}",
    "alpha": r"[a-z]+",
    "bool": r"true|false",
}
# What is tried first, for one segment.
_LITERAL, _MIXED, _CONSTRAINED, _PLAIN, _CATCH_ALL = range(1, 6)


@dataclass(frozen=True, kw_only=True)
class Route:
    """An HTTP function's route; ``methods`` is empty when it answers every method."""

    function: Function
    template: str
    methods: frozenset[str]
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]


class Routes:
    """All routes of an app."""

    def __init__(self, functions: Iterable[Function], *, prefix: str) -> None:
        self._routes = sorted(
            (_route(function, prefix) for function in functions if function.kind == "httpTrigger"),
            key=lambda route: route.precedence,
        )

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def match(self, method: str, raw_path: str) -> tuple[Function, dict[str, str]] | None:
        """The function for a call and its route parameters; ``None`` for an unknown path and for a wrong method."""
        path = _decoded(raw_path)
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found and (not route.methods or method.upper() in route.methods):
                parameters = {name: value for name, value in found.groupdict().items() if value is not None}
                return route.function, parameters
        return None


def _decoded(raw_path: str) -> str:
    """The path with its escapes resolved but for an escaped slash, and without dot segments, as Kestrel gives it."""
    path = unquote(re.sub("%2f", "%252F", raw_path, flags=re.IGNORECASE))
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept).removesuffix("/")


def _route(function: Function, prefix: str) -> Route:
    template = str(function.trigger.get("route") or function.name).strip("/")
    template = "/".join(filter(None, [prefix, template]))
    pattern = ""
    precedence: list[int] = []
    for segment in filter(None, template.split("/")):
        expression, rank, optional = _segment(segment, function.name)
        slash = "/" if precedence else ""
        pattern += f"(?:{slash}{expression})?" if optional else slash + expression
        precedence.append(rank)
    return Route(
        function=function,
        template="/" + template,
        methods=frozenset(str(method).upper() for method in function.trigger.get("methods") or ()),
        pattern=re.compile(pattern, re.IGNORECASE | re.DOTALL),
        precedence=tuple(precedence),
    )


def _segment(segment: str, function: str) -> tuple[str, int, bool]:
    """The expression of one segment, its rank, and whether it may be missing."""
    expression, end, rank, optional = "", 0, _LITERAL, False
    for parameter in _PARAMETER.finditer(segment):
        expression += re.escape(segment[end : parameter.start()])
        end = parameter.end()
        name, constraint = parameter["name"], parameter["constraint"]
        if constraint and constraint not in _CONSTRAINTS:
            raise AppFailedError(f"{function}: the route constraint {constraint!r} is not known to the local host.")
        if parameter["star"]:
            expression, rank, optional = expression + f"(?P<{name}>.*)", _CATCH_ALL, True
        else:
            expression += f"(?P<{name}>{_CONSTRAINTS.get(constraint or '', '[^/]+')})"
            rank, optional = _CONSTRAINED if constraint else _PLAIN, bool(parameter["optional"])
    whole = _PARAMETER.fullmatch(segment) is not None
    if rank != _LITERAL and not whole:
        rank = _MIXED
    return expression + re.escape(segment[end:]), rank, optional
