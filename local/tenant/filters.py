"""The subset of OData `$filter` the directory understands, parsed into a predicate."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from local.tenant.errors import GraphError, bad_request, unsupported_query

Reader = Callable[[str], Any]
Predicate = Callable[[Reader], bool]

MAX_CLAUSES = 15
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<moment>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?)"
    r"|(?P<mark>[(),:])"
    r"|(?P<word>[^\s'(),:]+))"
)
_ORDERING: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": lambda left, right: left >= right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "lt": lambda left, right: left < right,
}
_FUNCTIONS = {"startswith", "endswith"}


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class FilterParser:
    """Parses one filter against the filterable properties of a resource.

    `kinds` maps a property to "string", "boolean" or "moment"; `known` are properties that exist without being
    filterable; `collections` may be searched with `any`; `advanced` says whether both conditions of an advanced
    query are met, which `ne`, `not` and `endsWith` need.
    """

    def __init__(
        self,
        *,
        resource: str,
        kinds: Mapping[str, str],
        known: frozenset[str] = frozenset(),
        collections: frozenset[str] = frozenset(),
        advanced: bool,
    ) -> None:
        self._resource = resource
        self._kinds = kinds
        self._known = known
        self._collections = collections
        self._advanced = advanced
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        self._variable = ""

    def parse(self, text: str) -> Predicate:
        """The predicate a filter means; GraphError 400 for a filter the directory refuses."""
        self._tokens = list(self._scan(text))
        self._at = 0
        predicate = self._any_of()
        if self._at < len(self._tokens):
            raise self._invalid(f"Syntax error at position {self._at}.")
        return predicate

    def _scan(self, text: str) -> list[tuple[str, str]]:
        tokens, position, end = [], 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._invalid(f"There is an unterminated string literal at position {position} in '{text}'.")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def _any_of(self) -> Predicate:
        clauses = [self._all_of()]
        while self._take("or"):
            clauses.append(self._all_of())
        self._limit(len(clauses))
        return clauses[0] if len(clauses) == 1 else lambda read: any(clause(read) for clause in clauses)

    def _all_of(self) -> Predicate:
        clauses = [self._clause()]
        while self._take("and"):
            clauses.append(self._clause())
        return clauses[0] if len(clauses) == 1 else lambda read: all(clause(read) for clause in clauses)

    def _clause(self) -> Predicate:
        if self._take("not"):
            self._need_advanced("not")
            negated = self._clause()
            return lambda read: not negated(read)
        if self._take("("):
            inner = self._any_of()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        kind, word = self._next()
        if kind != "word":
            raise self._invalid(f"Syntax error at '{word}'.")
        if self._take("("):
            return self._function(word)
        name = self._property(word)
        if self._take("in"):
            return self._membership(name)
        _, operator = self._next()
        if operator not in {"eq", "ne", *_ORDERING}:
            raise self._invalid(f"Syntax error at '{operator}'.")
        value = self._literal(name)
        if operator == "ne":
            self._need_advanced("ne")
            return lambda read: _fold(read(name)) != value
        if operator == "eq":
            return lambda read: _fold(read(name)) == value
        compare = _ORDERING[operator]
        return lambda read: (found := _fold(read(name))) is not None and compare(found, value)

    def _membership(self, name: str) -> Predicate:
        self._expect("(")
        values = {self._literal(name)}
        while self._take(","):
            values.add(self._literal(name))
        self._expect(")")
        self._limit(len(values))
        return lambda read: _fold(read(name)) in values

    def _function(self, word: str) -> Predicate:
        if word.endswith("/any"):
            return self._lambda(word.removesuffix("/any"))
        if word.lower() not in _FUNCTIONS:
            if word == "contains":
                raise unsupported_query("Unsupported or invalid query filter clause specified: 'contains'.")
            raise self._invalid(f"An unknown function with name '{word}' was found.")
        _, path = self._next()
        name = self._property(path)
        self._expect(",")
        value = self._literal(name)
        self._expect(")")
        if word.lower() == "startswith":
            return lambda read: str(_fold(read(name)) or "").startswith(str(value))
        self._need_advanced("endsWith")
        return lambda read: str(_fold(read(name)) or "").endswith(str(value))

    def _lambda(self, collection: str) -> Predicate:
        if collection not in self._collections:
            raise self._unsupported(collection)
        _, self._variable = self._next()
        self._expect(":")
        inner = self._any_of()
        self._expect(")")
        self._variable = ""

        def found(read: Reader) -> bool:
            return any(inner(lambda name, item=item: item.get(name)) for item in read(collection) or [])

        return found

    def _property(self, path: str) -> str:
        name = path.removeprefix(f"{self._variable}/") if self._variable else path
        if self._variable or name in self._kinds:
            return name
        if name in self._known:
            raise self._unsupported(name)
        raise self._invalid(f"Could not find a property named '{name}' on type 'microsoft.graph.{self._resource}'.")

    def _literal(self, name: str) -> Any:
        kind, text = self._next()
        wanted = self._kinds.get(name, "string")
        if text == "null" and kind == "word":
            return None
        if kind == "string" and wanted == "string":
            return text[1:-1].replace("''", "'").lower()
        if kind == "moment" and wanted == "moment":
            return text.lower()
        if kind == "word" and wanted == "boolean" and text in {"true", "false"}:
            return text == "true"
        raise self._invalid("A binary operator with incompatible types was detected.")

    def _limit(self, clauses: int) -> None:
        if clauses > MAX_CLAUSES:
            raise unsupported_query(
                "Too many child clauses specified in search filter expression containing 'OR' operators: "
                f"{clauses}. Max allowed: {MAX_CLAUSES}."
            )

    def _need_advanced(self, operator: str) -> None:
        if not self._advanced:
            raise unsupported_query(
                f"Operator '{operator}' is not supported because the required parameters might be missing. "
                "Try adding $count=true query parameter and ConsistencyLevel:eventual header. "
                "Refer to https://aka.ms/graph-docs/advanced-queries for more information"
            )

    def _unsupported(self, name: str) -> GraphError:
        return unsupported_query(
            f"Unsupported or invalid query filter clause specified for property '{name}' "
            f"of resource '{self._resource.capitalize()}'."
        )

    def _invalid(self, why: str) -> GraphError:
        return bad_request(f"Invalid filter clause: {why}")

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._invalid("Expression expected at the end.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        if self._at < len(self._tokens):
            kind, found = self._tokens[self._at]
            if found == text and kind != "string":
                self._at += 1
                return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._invalid(f"'{text}' expected.")
