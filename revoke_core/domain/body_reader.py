"""Reads the members of a JSON object one by one and collects everything that is wrong with them."""

from __future__ import annotations

import re
from typing import Any, Final

from revoke_core.domain.errors import LISTED_FAULTS, Fault, Faults, InvalidRequest
from revoke_core.domain.identifiers import BLANKS, USER_FORM, is_object_id, names_user
from revoke_core.domain.mistakes import field_mistake, filter_mistake, user_mistake
from revoke_core.domain.redaction import redacted, short

LONGEST_NAME: Final = 200
LONGEST_KEY: Final = 255
_LONGEST_SHOWN: Final = 1000
_LONGEST_FILTER: Final = 4000

GROUP_FORM: Final = (
    "is not the object id of a group (8-4-4-4-12 hexadecimal digits); copy it from the group's page in Entra"
)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class BodyReader:
    """Reads members by name; each method notes what is wrong and ``check`` raises one error for all of it.

    ``InvalidRequest`` at once for a value that is no JSON object. A member that is ``null`` is absent. ``faults`` are
    those found before.
    """

    def __init__(self, value: Any, *, wanted: str = "must be a JSON object", faults: Faults | None = None) -> None:
        if not isinstance(value, dict):
            raise InvalidRequest([Fault("", wanted)])
        self._members = {name: member for name, member in value.items() if member is not None}
        self.faults = Faults() if faults is None else faults

    def __contains__(self, name: str) -> bool:
        """Whether the member is there and no empty list."""
        return self._members.get(name) not in (None, [])

    def check(self) -> None:
        """Raise ``InvalidRequest`` when anything was wrong."""
        if self.faults:
            raise InvalidRequest(self.faults)

    def refuse_unknown(self, allowed: tuple[str, ...]) -> None:
        """Note every member that is not one of these."""
        for name in self._members:
            if name not in allowed:
                # What a hundred faults say is enough; the rest is only counted.
                detail = field_mistake(name, allowed) if len(self.faults) < LISTED_FAULTS else ""
                self.faults.add(f"/{escaped(name)}", detail)

    def _typed[T](self, name: str, kind: type[T], wanted: str) -> T | None:
        member = self._members.get(name)
        # Not isinstance: true is no number.
        if member is None or type(member) is kind:
            return member
        is_quoted = isinstance(member, str) and kind in (int, bool)
        self.faults.add(f"/{name}", f"{wanted}, without quotation marks" if is_quoted else wanted)
        return None

    def user(self, name: str) -> list[str]:
        """The one text that names a user, as given, or none."""
        member = self._members.get(name)
        if isinstance(member, list):
            self.faults.add(
                f"/{name}", 'must be one text; several users go into users: {"users": ["adele@contoso.com"]}'
            )
            return []
        return [member] if member is not None and self._is_user(member, f"/{name}") else []

    def users(self, name: str) -> list[str]:
        """The texts that name users, as given."""
        wanted = 'must be an array of object ids or user principal names: ["adele@contoso.com"]'
        texts = self._typed(name, list, wanted) or []
        if all(isinstance(item, str) for item in texts) and all(map(names_user, texts)):
            return texts
        return [item for index, item in enumerate(texts) if self._is_user(item, f"/{name}/{index}")]

    def _is_user(self, value: Any, pointer: str) -> bool:
        if not isinstance(value, str):
            self.faults.add(pointer, "must be a text: an object id or a user principal name")
            return False
        if not names_user(value):
            self.faults.add(pointer, user_mistake(value) if len(self.faults) < LISTED_FAULTS else USER_FORM)
            return False
        return True

    def groups(self, name: str) -> tuple[str, ...]:
        """Object ids in lower case, each once, in the order first named."""
        found: dict[str, None] = {}
        wanted = 'must be an array of object ids of groups: ["8f5d7f3e-0000-4000-8000-000000000001"]'
        for index, item in enumerate(self._typed(name, list, wanted) or []):
            group_id = item.strip(BLANKS).lower() if isinstance(item, str) else ""
            if is_object_id(group_id):
                found[group_id] = None
            else:
                self.faults.add(f"/{name}/{index}", GROUP_FORM)
        return tuple(found)

    def filter(self, name: str) -> str | None:
        """An OData filter without the blanks around it; whether it is valid only Graph can say."""
        text = self.text(name, _LONGEST_FILTER)
        if text is None:
            return None
        trimmed = text.strip()
        if not trimmed:
            self.faults.add(f"/{name}", "is blank; give an OData filter such as department eq 'HP'")
        elif _CONTROLS.search(trimmed):
            self.faults.add(f"/{name}", "holds control characters; write the filter in one line")
        elif detail := filter_mistake(trimmed):
            self.faults.add(f"/{name}", detail)
        return trimmed

    def text(self, name: str, longest: int) -> str | None:
        """A text of at most so many characters."""
        text = self._typed(name, str, "must be a text")
        if text is not None and len(text) > longest:
            self.faults.add(f"/{name}", f"is longer than {longest} characters")
        elif text is not None and text.encode("utf-8", "replace").decode() != text:
            self.faults.add(f"/{name}", "holds characters that cannot be stored (lone surrogates)")
        return text

    def count(self, name: str) -> int | None:
        """A whole number, 0 or more."""
        wanted = "must be a whole number, 0 or more"
        number = self._typed(name, int, wanted)
        if number is not None and number < 0:
            self.faults.add(f"/{name}", wanted)
        return number

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        member = self._typed(name, bool, "must be true or false")
        return default if member is None else member


def escaped(name: str) -> str:
    """A member name as part of a JSON Pointer, fit to be shown."""
    return short(redacted(name[:_LONGEST_SHOWN]).replace("~", "~0").replace("/", "~1"))
