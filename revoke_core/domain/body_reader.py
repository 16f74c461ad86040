"""Reads the members of a JSON object by its table of fields and collects everything that is wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from revoke_core.domain.errors import LISTED_FAULTS, Fault, Faults, InvalidRequest
from revoke_core.domain.identifiers import BLANKS, USER_FORM, is_idempotency_key, is_object_id, names_user
from revoke_core.domain.mistakes import field_mistake, filter_mistake, user_mistake
from revoke_core.domain.redaction import redacted, short
from revoke_core.domain.request_record import CALLER_KINDS, RequestedBy
from revoke_core.domain.timestamps import parsed_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from revoke_core.domain.fields import Body, Field, Kind

_LONGEST_SHOWN: Final = 1000

GROUP_FORM: Final = (
    "is not the object id of a group (8-4-4-4-12 hexadecimal digits); copy it from the group's page in Entra"
)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class BodyReader:
    """Reads the members of ``body``; each reading notes what is wrong and ``check`` raises one error for all of it.

    ``InvalidRequest`` at once for a value that is no JSON object. A member that is ``null`` is absent, one that the
    table does not have is noted. ``faults`` are those found before.
    """

    def __init__(self, value: Any, body: Body, *, wanted: str | None = None, faults: Faults | None = None) -> None:
        if not isinstance(value, dict):
            raise InvalidRequest([Fault("", wanted or f"must be a JSON object such as {body.shown}")])
        self._members = {name: member for name, member in value.items() if member is not None}
        self._body = body
        self.faults = Faults() if faults is None else faults
        self._refuse_unknown(body.names)

    def check(self) -> None:
        """Raise ``InvalidRequest`` when anything was wrong."""
        # An empty list names nobody.
        one_of = self._body.one_of
        if one_of and all(self._members.get(field.name) in (None, []) for field in one_of):
            *most, last = (field.name for field in one_of)
            self.faults.add("", f"names no users; give {', '.join(most)} or {last}")
        if self.faults:
            raise InvalidRequest(self.faults)

    def get[T](self, field: Field[T]) -> T:
        """The value of a member, of the kind that its field says; what stands for nothing where it is absent."""
        if field.missing and field.name not in self._members:
            self.faults.add(f"/{field.name}", field.missing)
        value: T = self._READERS[field.kind](self, field)
        return value

    def _refuse_unknown(self, allowed: tuple[str, ...]) -> None:
        for name in self._members:
            if name not in allowed:
                # What a hundred faults say is enough; the rest is only counted.
                detail = field_mistake(name, allowed) if len(self.faults) < LISTED_FAULTS else ""
                self.faults.add(f"/{escaped(name)}", detail)

    def _typed[T](self, field: Field[Any], kind: type[T], wanted: str) -> T | None:
        member = self._members.get(field.name)
        # Not isinstance: true is no number.
        if member is None or type(member) is kind:
            return member
        is_quoted = isinstance(member, str) and kind in (int, bool)
        self.faults.add(f"/{field.name}", f"{wanted}, without quotation marks" if is_quoted else wanted)
        return None

    def _user(self, field: Field[Any]) -> list[str]:
        """The one text that names a user, as given, or none."""
        member = self._members.get(field.name)
        if isinstance(member, list):
            detail = 'must be one text; several users go into users: {"users": ["adele@contoso.com"]}'
            self.faults.add(f"/{field.name}", detail)
            return []
        return [member] if member is not None and self._is_user(member, f"/{field.name}") else []

    def _users(self, field: Field[Any]) -> list[str]:
        """The texts that name users, as given."""
        wanted = 'must be an array of object ids or user principal names: ["adele@contoso.com"]'
        texts = self._typed(field, list, wanted) or []
        if all(isinstance(item, str) for item in texts) and all(map(names_user, texts)):
            return texts
        return [item for index, item in enumerate(texts) if self._is_user(item, f"/{field.name}/{index}")]

    def _is_user(self, value: Any, pointer: str) -> bool:
        if not isinstance(value, str):
            self.faults.add(pointer, "must be a text: an object id or a user principal name")
            return False
        if not names_user(value):
            self.faults.add(pointer, user_mistake(value) if len(self.faults) < LISTED_FAULTS else USER_FORM)
            return False
        return True

    def _groups(self, field: Field[Any]) -> tuple[str, ...]:
        """Object ids in lower case, each once, in the order first named."""
        found: dict[str, None] = {}
        wanted = 'must be an array of object ids of groups: ["8f5d7f3e-0000-4000-8000-000000000001"]'
        for index, item in enumerate(self._typed(field, list, wanted) or []):
            group_id = item.strip(BLANKS).lower() if isinstance(item, str) else ""
            if is_object_id(group_id):
                found[group_id] = None
            else:
                self.faults.add(f"/{field.name}/{index}", GROUP_FORM)
        return tuple(found)

    def _filter(self, field: Field[Any]) -> str | None:
        """An OData filter without the blanks around it; whether it is valid only Graph can say."""
        text = self._text(field)
        if text is None:
            return None
        trimmed = text.strip()
        if not trimmed:
            self.faults.add(f"/{field.name}", "is blank; give an OData filter such as department eq 'HP'")
        elif _CONTROLS.search(trimmed):
            self.faults.add(f"/{field.name}", "holds control characters; write the filter in one line")
        elif detail := filter_mistake(trimmed):
            self.faults.add(f"/{field.name}", detail)
        return trimmed

    def _text(self, field: Field[Any]) -> str | None:
        """A text of at most so many characters."""
        text = self._typed(field, str, "must be a text")
        if text is not None and field.longest is not None and len(text) > field.longest:
            self.faults.add(f"/{field.name}", f"is longer than {field.longest} characters")
        elif text is not None and text.encode("utf-8", "replace").decode() != text:
            self.faults.add(f"/{field.name}", "holds characters that cannot be stored (lone surrogates)")
        return text

    def _key(self, field: Field[Any]) -> str | None:
        """An idempotency key."""
        key = self._members.get(field.name)
        if key is not None and not is_idempotency_key(key):
            self.faults.add(f"/{field.name}", f"must have 1 to {field.longest} printable ASCII characters")
            return None
        return key

    def _count(self, field: Field[Any]) -> int | None:
        """A whole number, 0 or more."""
        wanted = "must be a whole number, 0 or more"
        number = self._typed(field, int, wanted)
        if number is not None and number < 0:
            self.faults.add(f"/{field.name}", wanted)
        return number

    def _flag(self, field: Field[Any]) -> bool | None:
        """True or false."""
        member = self._typed(field, bool, "must be true or false")
        return field.default if member is None else member

    def _caller(self, field: Field[Any]) -> RequestedBy | None:
        """A caller as requests show it: its kind and, where callers of this kind have one, its id."""
        named = self._members.get(field.name)
        members = named if isinstance(named, dict) else {}
        kind, caller_id = (part if isinstance(part, str) else None for part in (members.get("kind"), members.get("id")))
        caller = RequestedBy(kind=kind or "", id=caller_id)
        if kind in CALLER_KINDS and (caller_id or not caller.has_own_id):
            return caller
        if named is not None:
            self.faults.add(f"/{field.name}", field.missing or "")
        return None

    def _time(self, field: Field[Any]) -> datetime | None:
        """A moment, in UTC."""
        text = self._text(field)
        moment = parsed_or_none(text)
        if text is not None and moment is None:
            self.faults.add(f"/{field.name}", f"must be an RFC 3339 time such as {field.example}")
        return moment

    def _any(self, field: Field[Any]) -> Any:
        """A value that another reader reads."""
        return self._members.get(field.name)

    _READERS: ClassVar[Mapping[Kind, Callable[[BodyReader, Field[Any]], Any]]] = {
        "user": _user,
        "users": _users,
        "groups": _groups,
        "filter": _filter,
        "text": _text,
        "key": _key,
        "count": _count,
        "flag": _flag,
        "caller": _caller,
        "time": _time,
        "any": _any,
    }


def escaped(name: str) -> str:
    """A member name as part of a JSON Pointer, fit to be shown."""
    return short(redacted(name[:_LONGEST_SHOWN]).replace("~", "~0").replace("/", "~1"))
