"""The objects of a payload, their members found in any case; what is wrong with them is collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revoke_core.domain.body_reader import escaped
from revoke_core.domain.identifiers import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from revoke_core.domain.errors import Faults


class Members:
    """One JSON object; ``pointer`` says where it stands, for the faults that are noted.

    A member that is ``null`` or a blank text is absent. Members whose names differ in case only are doubled ones.
    """

    def __init__(self, value: dict[str, Any], pointer: str, faults: Faults) -> None:
        self.pointer = pointer
        self.faults = faults
        self._members: dict[str, Any] = {}
        for name, member in value.items():
            if name.lower() in self._members:
                faults.add(f"{pointer}/{escaped(name)}", "is given more than once, once in another case")
            self._members[name.lower()] = member

    def __contains__(self, name: str) -> bool:
        """Whether the member is there at all, be it ``null`` or blank."""
        return name.lower() in self._members

    def value(self, *names: str) -> Any:
        """The first of these members that is not absent, of whatever type, else ``None``."""
        return next((member for name in names if (member := self._present(name)) is not None), None)

    def shown(self, *names: str) -> str | None:
        """The first of these members that is a text or a whole number, as a text to be shown."""
        for name in names:
            member = self._present(name)
            if isinstance(member, str) or type(member) is int:
                return str(member).strip(BLANKS)
        return None

    def object(self, name: str) -> Members | None:
        """A member that is an object; another one is a fault, an absent one is none."""
        member = self._present(name)
        return None if member is None else self._object(member, f"{self.pointer}/{name}")

    def required_object(self, name: str) -> Members | None:
        """As ``object``, where the shape says that the member must be there."""
        if self._present(name) is None:
            self.faults.add(f"{self.pointer}/{name}", "must be there: an object")
        return self.object(name)

    def objects(self, name: str) -> Iterator[Members]:
        """The objects in a member that is an array; an absent one holds none, ``null`` in it is passed over."""
        pointer = f"{self.pointer}/{name}"
        member = self._present(name)
        if member is not None and not isinstance(member, list):
            self.faults.add(pointer, "must be an array of objects")
            return
        yield from objects(member or [], pointer, self.faults)

    def required_objects(self, name: str) -> Iterator[Members]:
        """As ``objects``, where the shape says that the member must be there."""
        if self._present(name) is None:
            self.faults.add(f"{self.pointer}/{name}", "must be there: an array of objects")
        yield from self.objects(name)

    def _object(self, member: Any, pointer: str) -> Members | None:
        if isinstance(member, dict):
            return Members(member, pointer, self.faults)
        self.faults.add(pointer, "must be an object")
        return None

    def _present(self, name: str) -> Any:
        member = self._members.get(name.lower())
        return None if isinstance(member, str) and not member.strip(BLANKS) else member


def objects(items: list[Any], pointer: str, faults: Faults) -> Iterator[Members]:
    """The objects in an array; ``null`` is passed over, anything else is a fault."""
    for index, item in enumerate(items):
        if isinstance(item, dict):
            yield Members(item, f"{pointer}/{index}", faults)
        elif item is not None:
            faults.add(f"{pointer}/{index}", "must be an object")
