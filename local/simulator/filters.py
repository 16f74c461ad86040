"""The part of OData ``$filter`` that the directory answers: eq, ne, in, startswith, endsWith, and, or, not, ()."""

import re
from collections.abc import Callable
from typing import Any, Final

from local.simulator.errors import bad_request, unsupported_query
from local.simulator.settings import Settings

Test = Callable[[dict[str, Any]], bool]

_TOKEN: Final = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z_][\w/]*)|([(),:])|(\d+))")
_PROPERTIES: Final = {
    name.lower(): name
    for name in (
        *("id", "displayName", "department", "userPrincipalName", "mail", "accountEnabled", "userType", "jobTitle"),
        *("givenName", "surname", "officeLocation", "creationType", "externalUserState", "onPremisesSyncEnabled"),
        *("securityIdentifier", "onPremisesSecurityIdentifier"),
    )
}
_ADVANCED: Final = (
    "Operator '{0}' is not supported because the required parameters might be missing. Try adding $count=true query "
    "parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more "
    "information"
)
_UNSUPPORTED: Final = "Unsupported or invalid query filter clause specified for property '{0}' of resource 'User'."


def parsed_filter(text: str, *, advanced: bool, settings: Settings) -> Test:
    """A test for objects; GraphError with Graph's error text for what it does not accept."""
    parser = _Parser(text, advanced=advanced, settings=settings)
    test = parser.either()
    if parser.peek() is not None:
        raise bad_request("Invalid filter clause")
    return test


class _Parser:
    def __init__(self, text: str, *, advanced: bool, settings: Settings) -> None:
        self._tokens: list[str] = []
        self._settings = settings
        self._advanced = advanced
        index = 0
        text = text.rstrip()
        while index < len(text):
            match = _TOKEN.match(text, index)
            if match is None:
                raise bad_request("Invalid filter clause")
            self._tokens.append(next(part for part in match.groups() if part is not None))
            index = match.end()

    def peek(self) -> str | None:
        return self._tokens[0] if self._tokens else None

    def either(self) -> Test:
        left = self._both()
        while self._keyword("or"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Test:
        left = self._one()
        while self._keyword("and"):
            left = _and(left, self._one())
        return left

    def _one(self) -> Test:
        if self._keyword("not"):
            self._needs_advanced("not")
            inner = self._one()
            return lambda item: not inner(item)
        if self._keyword("("):
            inner = self.either()
            self._expect(")")
            return inner
        name = self._next()
        if name.lower() == "proxyaddresses/any" and self.peek() == "(":
            return self._any()
        if name.lower() in ("startswith", "endswith") and self.peek() == "(":
            return self._function(name.lower())
        member = _property(name)
        rule = self._settings.security_identifier_filter
        if member == "securityIdentifier" and (rule == "refuse" or (rule == "advanced" and not self._advanced)):
            raise unsupported_query(_UNSUPPORTED.format(member))
        return self._comparison(member)

    def _any(self) -> Test:
        """``proxyAddresses/any(p:p eq 'smtp:…')``, the one lambda that the docs show for it."""
        self._expect("(")
        variable = self._next()
        self._expect(":")
        self._expect(variable.lower())
        self._expect("eq")
        literal = _literal(self._next())
        wanted = _folded(literal)
        self._expect(")")
        if self._settings.proxy_address_case == "exact":
            return lambda item: literal in (item.get("proxyAddresses") or [])
        return lambda item: wanted in [_folded(one) for one in item.get("proxyAddresses") or []]

    def _function(self, name: str) -> Test:
        if name == "endswith":
            self._needs_advanced("endsWith")
        self._expect("(")
        member = _property(self._next())
        self._expect(",")
        wanted = str(_literal(self._next())).lower()
        self._expect(")")
        if name == "startswith":
            return lambda item: str(item.get(member) or "").lower().startswith(wanted)
        return lambda item: str(item.get(member) or "").lower().endswith(wanted)

    def _comparison(self, member: str) -> Test:
        operator = self._next().lower()
        if operator == "in":
            self._expect("(")
            values = [_folded(_literal(self._next()))]
            while self._keyword(","):
                values.append(_folded(_literal(self._next())))
            self._expect(")")
            return lambda item: _folded(item.get(member)) in values
        value = _folded(_literal(self._next()))
        if operator == "eq":
            return lambda item: _folded(item.get(member)) == value
        if operator == "ne":
            self._needs_advanced("ne")
            return lambda item: _folded(item.get(member)) != value
        raise bad_request("Invalid filter clause")

    def _needs_advanced(self, operator: str) -> None:
        if not self._advanced:
            raise unsupported_query(_ADVANCED.format(operator))

    def _next(self) -> str:
        if not self._tokens:
            raise bad_request("Invalid filter clause")
        return self._tokens.pop(0)

    def _keyword(self, keyword: str) -> bool:
        if self._tokens and self._tokens[0].lower() == keyword:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, keyword: str) -> None:
        if not self._keyword(keyword):
            raise bad_request("Invalid filter clause")


def _or(left: Test, right: Test) -> Test:
    return lambda item: left(item) or right(item)


def _and(left: Test, right: Test) -> Test:
    return lambda item: left(item) and right(item)


def _property(name: str) -> str:
    if name.lower() not in _PROPERTIES:
        raise unsupported_query(_UNSUPPORTED.format(name))
    return _PROPERTIES[name.lower()]


def _literal(token: str) -> Any:
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    literals = {"true": True, "false": False, "null": None}
    if token.lower() in literals:
        return literals[token.lower()]
    raise bad_request("Invalid filter clause")


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
