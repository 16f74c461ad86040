"""How a payload names one user, and the text that goes into the request's list for it.

The first that is there of object id, user principal name, SID and mail address decides. One that is there and malformed
makes the row an unresolved one: what stands below it may be another person's, so nothing lower is tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.entity_names import EntityName, EntityNameKind
from revoke_core.domain.identifiers import BLANKS, is_object_id, names_user
from revoke_core.domain.mistakes import EXAMPLE_UPN, user_mistake
from revoke_core.domain.redaction import redacted, short

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_GIVEN: Final = 200
# What is wrong with a malformed one; of the others the usual mistakes are known.
_FORMS: Final = {"object id": "is not 8-4-4-4-12 hexadecimal digits", "SID": "is no SID (S-1-…)"}
_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f]+")


@dataclass(slots=True, kw_only=True)
class Account:
    """What a payload says of one user; each member is as it stands there, ``None`` where it is absent.

    ``shown`` are names for people, the best first, from which the ``input`` of an unresolved row is taken; ``place``
    says where the payload has the user, ``wanted`` what its shape calls the names of a user.
    """

    object_id: Any = None
    upn: Any = None
    sid: Any = None
    mail: Any = None
    shown: tuple[str | None, ...] = ()
    place: str = ""
    wanted: str = "object id, user principal name, SID or mail address"

    def text(self) -> str:
        """The text for the list of named users."""
        rungs: tuple[tuple[Any, str, Callable[[str], bool], EntityNameKind | None], ...] = (
            (self.object_id, "object id", is_object_id, None),
            (self.upn, "user principal name", _is_upn, None),
            (self.sid, "SID", _is_sid, EntityNameKind.SID),
            (self.mail, "mail address", _is_mail, EntityNameKind.MAIL),
        )
        for value, called, is_valid, kind in rungs:
            if value is not None:
                return self._by(value, called, is_valid, kind)
        return unresolved(self._shown() or self.place, f"it has no {self.wanted}")

    def _by(self, value: Any, called: str, is_valid: Callable[[str], bool], kind: EntityNameKind | None) -> str:
        if not isinstance(value, str):
            return unresolved(self._shown() or self.place, f"its {called} is not a text")
        name = value.strip(BLANKS)
        if is_valid(name):
            return EntityName(kind, name).text if kind else name
        given = plain(name)
        return unresolved(self._shown() or given or self.place, f'its {called} "{given}" {_mistake(called, name)}')

    def _shown(self) -> str | None:
        return next(filter(None, map(plain, filter(None, self.shown))), None)


def unresolved(given: str, lacks: str) -> str:
    """The text for an entity that names no user, of plain texts."""
    return EntityName(EntityNameKind.UNRESOLVED, given, lacks).text


def plain(text: str) -> str:
    """A text from a payload as it may be kept and shown: in one line, short, without secrets."""
    return short(redacted(_SPACES.sub(" ", text)).strip(), _LONGEST_GIVEN)


def windows_name(domain: str | None, name: str | None) -> str | None:
    r"""``DOMAIN\name`` where both are there."""
    return f"{domain}\\{name}" if domain and name else None


def _mistake(called: str, name: str) -> str:
    # The example that ends most of these sentences would read as the name to use.
    return _FORMS.get(called) or user_mistake(name).removesuffix(f": {EXAMPLE_UPN}")


def _is_upn(name: str) -> bool:
    return names_user(name) and not is_object_id(name)


def _is_sid(name: str) -> bool:
    return EntityName(EntityNameKind.SID, name).is_searchable


def _is_mail(name: str) -> bool:
    return EntityName(EntityNameKind.MAIL, name).is_searchable
