"""The part of OData ``$filter`` that the two logs answer: eq, ge, le, startswith, one lambda, and, or, ()."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from local.simulator.clock import seconds_of
from local.simulator.errors import bad_request

Test = Callable[[dict[str, Any]], bool]

_TOKEN: Final = re.compile(r"\s*(?:('(?:[^']|'')*')|(\d{4}-\d\d-\d\d[0-9T:.]*Z?)|(\d+)|([A-Za-z_][\w/]*)|([(),:]))")
_TARGET_ID: Final = "targetResources/any"

# The properties of each log with the operators that Microsoft's pages list for them.
AUDIT_PROPERTIES: Final[Mapping[str, frozenset[str]]] = {
    "activityDateTime": frozenset({"eq", "ge", "le"}),
    "activityDisplayName": frozenset({"eq", "startswith"}),
    "correlationId": frozenset({"eq"}),
    "initiatedBy/user/id": frozenset({"eq"}),
    "initiatedBy/user/userPrincipalName": frozenset({"eq", "startswith"}),
    "initiatedBy/app/appId": frozenset({"eq"}),
    "loggedByService": frozenset({"eq"}),
    _TARGET_ID: frozenset({"eq"}),
}
SIGN_IN_PROPERTIES: Final[Mapping[str, frozenset[str]]] = {
    "createdDateTime": frozenset({"eq", "ge", "le"}),
    "userId": frozenset({"eq"}),
    "userPrincipalName": frozenset({"eq", "startswith"}),
    "appDisplayName": frozenset({"eq", "startswith"}),
    "appId": frozenset({"eq"}),
    "ipAddress": frozenset({"eq", "startswith"}),
    "correlationId": frozenset({"eq"}),
    "status/errorCode": frozenset({"eq"}),
}


def parsed_report_filter(text: str, known: Mapping[str, frozenset[str]], *, with_or: bool) -> Test:
    """A test for rows of one log; GraphError for what it does not accept. ``with_or``: whether clauses may be or'ed."""
    parser = _Parser(text, known, with_or=with_or)
    test = parser.either()
    if parser.tokens:
        raise _invalid()
    return test


class _Parser:
    def __init__(self, text: str, known: Mapping[str, frozenset[str]], *, with_or: bool) -> None:
        self.tokens: list[str] = []
        self._known = {name.lower(): (name, operators) for name, operators in known.items()}
        self._with_or = with_or
        index, text = 0, text.rstrip()
        while index < len(text):
            match = _TOKEN.match(text, index)
            if match is None:
                raise _invalid()
            self.tokens.append(match[0].strip())
            index = match.end()

    def either(self) -> Test:
        test = self._both()
        while self._took("or"):
            if not self._with_or:
                raise _invalid()
            test = _or(test, self._both())
        return test

    def _both(self) -> Test:
        test = self._one()
        while self._took("and"):
            test = _and(test, self._one())
        return test

    def _one(self) -> Test:
        if self._took("("):
            test = self.either()
            self._expect(")")
            return test
        if self._took("startswith"):
            self._expect("(")
            name = self._property(self._next(), "startswith")
            self._expect(",")
            start = self._next()[1:-1].replace("''", "'").lower()
            self._expect(")")
            return lambda row: str(_value(row, name) or "").lower().startswith(start)
        word = self._next()
        if word.lower() == _TARGET_ID.lower():
            return self._target()
        operator = self._next().lower()
        return _comparison(self._property(word, operator), operator, self._next())

    def _target(self) -> Test:
        """``targetResources/any(t:t/id eq '…')``, as in the pages' own examples."""
        self._property(_TARGET_ID, "eq")
        self._expect("(")
        variable = self._next()
        self._expect(":")
        self._expect(f"{variable}/id")
        self._expect("eq")
        wanted = self._next()[1:-1].lower()
        self._expect(")")
        return lambda row: wanted in [str(target["id"]).lower() for target in row["targetResources"]]

    def _property(self, word: str, operator: str) -> str:
        name, operators = self._known.get(word.lower(), ("", frozenset()))
        if operator not in operators:
            raise _invalid()
        return name

    def _next(self) -> str:
        if not self.tokens:
            raise _invalid()
        return self.tokens.pop(0)

    def _took(self, word: str) -> bool:
        if self.tokens and self.tokens[0].lower() == word.lower():
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._took(word):
            raise _invalid()


def _comparison(name: str, operator: str, token: str) -> Test:
    if name.endswith("DateTime"):
        try:
            moment = seconds_of(token)
        except ValueError:
            raise _invalid() from None
        return lambda row: _compared(operator, seconds_of(row[name]), moment)
    if token.isdigit():
        return lambda row: _value(row, name) == int(token)
    if not token.startswith("'"):
        raise _invalid()
    wanted = token[1:-1].replace("''", "'").lower()
    return lambda row: str(_value(row, name) or "").lower() == wanted


def _compared(operator: str, found: float, moment: float) -> bool:
    if operator == "eq":
        return found == moment
    return found >= moment if operator == "ge" else found <= moment


def _value(row: dict[str, Any], name: str) -> Any:
    found: Any = row
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _or(left: Test, right: Test) -> Test:
    return lambda row: left(row) or right(row)


def _and(left: Test, right: Test) -> Test:
    return lambda row: left(row) and right(row)


def _invalid() -> Exception:
    return bad_request("Invalid filter clause")
