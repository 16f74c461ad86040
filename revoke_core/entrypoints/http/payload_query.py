"""What stands in the query beside a payload: the members of a JSON body that name no users."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.body_reader import escaped
from revoke_core.domain.errors import Faults, InvalidRequest
from revoke_core.domain.fields import PAYLOAD_QUERY
from revoke_core.domain.mistakes import field_mistake
from revoke_core.entrypoints.http.call import is_platform_parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from revoke_core.domain.fields import Kind
    from revoke_core.entrypoints.http.call import HttpCall

_FLAGS: Final = {"true": True, "false": False}
_LONGEST_NUMBER: Final = 9


def _text(value: str, _fault: Callable[[str], None]) -> str | None:
    return value or None


def _key(value: str, _fault: Callable[[str], None]) -> str:
    # An empty key is refused later: its caller believes that repeating the call is safe.
    return value


def _flag(value: str, fault: Callable[[str], None]) -> bool | None:
    if value.lower() not in _FLAGS:
        fault("must be true or false")
    return _FLAGS.get(value.lower())


def _number(value: str, fault: Callable[[str], None]) -> int | None:
    if value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    fault("must be a whole number, 0 or more")
    return None


def _names(value: str, _fault: Callable[[str], None]) -> list[str]:
    # No name holds a blank: one within it is a plus sign that was not encoded.
    return [name.strip().replace(" ", "+") for name in value.split(",") if name.strip()]


# How the text of each kind of member is read; one whose text is read as a list may be repeated.
_READERS: Final[Mapping[Kind, Callable[[str, Callable[[str], None]], Any]]] = {
    "text": _text,
    "flag": _flag,
    "count": _number,
    "users": _names,
    "key": _key,
}
_KINDS: Final = {field.name: field.kind for field in PAYLOAD_QUERY.fields}


def read_members(call: HttpCall) -> dict[str, Any]:
    """The members as a JSON body would have them; ``InvalidRequest`` for what is unknown, given twice or malformed."""
    members: dict[str, Any] = {}
    faults = Faults()
    for name, text in call.parameters:
        if is_platform_parameter(name):
            continue
        fault = partial(faults.add, f"/{escaped(name)}")
        if name not in _KINDS:
            fault(field_mistake(name, tuple(_KINDS)).replace("field", "query parameter"))
            continue
        value = _READERS[_KINDS[name]](text, fault)
        if name not in members:
            members[name] = value
        elif isinstance(value, list):
            members[name] += value
        else:
            fault("is given more than once")
    if faults:
        raise InvalidRequest(faults)
    return members
