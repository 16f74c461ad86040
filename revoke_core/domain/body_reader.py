"""Reading the members of a JSON object one by one, collecting everything that is wrong with them."""

from __future__ import annotations

import re
from typing import Any, Final

from revoke_core.domain.errors import Faults
from revoke_core.domain.identifiers import USER_FORM, is_object_id, names_user

LARGEST_BODY: Final = 16 * 1024 * 1024
LONGEST_REASON: Final = 1000
LONGEST_FILTER: Final = 4000
LONGEST_NAME: Final = 200
LONGEST_KEY: Final = 255

BODY_FIELDS: Final = (
    *("user", "users", "groups", "transitive", "filter", "exclude"),
    *("reason", "expectedUsers", "dryRun", "verify"),
)
OWN_FIELDS: Final = ("reason",)
QUEUE_FIELDS: Final = ("idempotencyKey", "requestedBy")
GROUP_FORM: Final = (
    "is not the object id of a group (8-4-4-4-12 hexadecimal digits); copy it from the group's page in Entra"
)
_TARGETS: Final = ("user", "users", "groups", "filter")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BLANKS: Final = " \t\r\n"


class BodyReader:
    """Reads members one by one and collects what is wrong with them."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self.faults = Faults()

    def refuse_unknown(self, allowed: tuple[str, ...]) -> None:
        """Note every member that is not one of these."""
        known = ", ".join(allowed)
        for name in self._members:
            if name not in allowed:
                self.faults.add(f"/{escaped(name)}", f"is not a known field; known are {known}")

    def names_somebody(self) -> bool:
        """Whether any member says who is meant."""
        return any(self._members.get(name) not in (None, []) for name in _TARGETS)

    def users(self, name: str) -> list[str]:
        """The texts that name users, as given."""
        member = self._members.get(name)
        if member is None:
            return []
        if name == "user":
            return [member] if self._is_user(member, "/user") else []
        if not isinstance(member, list):
            self.faults.add(f"/{name}", "must be an array of object ids or user principal names")
            return []
        if all(isinstance(item, str) for item in member) and all(map(names_user, member)):
            return member
        return [item for position, item in enumerate(member) if self._is_user(item, f"/{name}/{position}")]

    def _is_user(self, value: Any, pointer: str) -> bool:
        if not isinstance(value, str):
            self.faults.add(pointer, "must be a text: an object id or a user principal name")
            return False
        if not names_user(value):
            self.faults.add(pointer, USER_FORM)
            return False
        return True

    def groups(self, name: str) -> tuple[str, ...]:
        """Object ids in lower case, each once, in the order first named."""
        member = self._members.get(name)
        if member is None:
            return ()
        if not isinstance(member, list):
            self.faults.add(f"/{name}", "must be an array of object ids of groups")
            return ()
        found: dict[str, None] = {}
        for position, item in enumerate(member):
            identity = item.strip(_BLANKS).lower() if isinstance(item, str) else ""
            if is_object_id(identity):
                found[identity] = None
            else:
                self.faults.add(f"/{name}/{position}", GROUP_FORM)
        return tuple(found)

    def filter(self, name: str) -> str | None:
        """An OData filter without the blanks around it; whether Graph takes it only Graph can say."""
        text = self.text(name, LONGEST_FILTER)
        if text is None:
            return None
        trimmed = text.strip()
        if not trimmed:
            self.faults.add(f"/{name}", "is blank; give an OData filter such as department eq 'HP'")
            return None
        if _CONTROLS.search(trimmed):
            self.faults.add(f"/{name}", "holds control characters; write the filter in one line")
            return None
        return trimmed

    def text(self, name: str, longest: int) -> str | None:
        """A text of at most so many characters."""
        member = self._members.get(name)
        if member is None:
            return None
        if not isinstance(member, str):
            self.faults.add(f"/{name}", "must be a text")
            return None
        if len(member) > longest:
            self.faults.add(f"/{name}", f"is longer than {longest} characters")
            return None
        if not _storable(member):
            self.faults.add(f"/{name}", "holds characters that cannot be stored (lone surrogates)")
            return None
        return member

    def count(self, name: str) -> int | None:
        """A whole number, 0 or more."""
        member = self._members.get(name)
        if member is None:
            return None
        if isinstance(member, bool) or not isinstance(member, int) or member < 0:
            self.faults.add(f"/{name}", "must be a whole number, 0 or more")
            return None
        return member

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        member = self._members.get(name)
        if member is None:
            return default
        if not isinstance(member, bool):
            self.faults.add(f"/{name}", "must be true or false")
            return default
        return member


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(name: str) -> str:
    """A member name as part of a JSON Pointer, fit to be shown."""
    printable = name.encode("utf-8", "replace").decode()
    return short(printable.replace("~", "~0").replace("/", "~1"))


def short(text: str, longest: int = 120) -> str:
    """A text cut to what is worth showing."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
