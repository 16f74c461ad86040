"""Users as another product's payload names them: by SID, by mail address, or not well enough to be found.

In a request's list of named users each of them stands as a text of its own (``sid:…``, ``mail:…``, ``unresolved:…``).
No caller can write such a text: neither an object id nor a UPN has a colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from revoke_core.domain.redaction import storable

_SID: Final = re.compile(r"S-1-\d{1,15}(?:-\d{1,10}){1,15}", re.IGNORECASE | re.ASCII)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL: Final = re.compile(rf"(?=.{{1,320}}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")
# What is shown of an entity has to fit a row.
_LONGEST: Final = 1000


class EntityNameKind(StrEnum):
    """How a payload names a user, where it is neither by object id nor by UPN."""

    SID = "sid"
    MAIL = "mail"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class EntityName:
    """One such name; ``given`` is the row's ``input``, ``lacks`` says why an unresolved entity names nobody."""

    kind: EntityNameKind
    given: str
    lacks: str = ""

    @property
    def text(self) -> str:
        """The text that stands for it in a list of named users; each part is cut to 1,000 characters."""
        lacks = f"\t{self.lacks[:_LONGEST]}" if self.lacks else ""
        return storable(f"{self.kind}:{self.given[:_LONGEST].replace('\t', ' ')}{lacks}")

    @property
    def is_searchable(self) -> bool:
        """Whether it has the form of a SID or of a mail address, as its kind wants it."""
        form = {EntityNameKind.SID: _SID, EntityNameKind.MAIL: _MAIL}.get(self.kind)
        return form is not None and form.fullmatch(self.given.strip()) is not None

    @property
    def description(self) -> str:
        """What a sentence calls it: ``the SID S-1-5-…``."""
        return f"the {'SID' if self.kind is EntityNameKind.SID else 'mail address'} {self.given.strip()}"


def parse_entity_name(text: str) -> EntityName | None:
    """The name that ``EntityName.text`` was made of; ``None`` for an object id, a UPN and anything else."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in EntityNameKind:
        return None
    given, _, lacks = rest.partition("\t")
    return EntityName(EntityNameKind(kind), given, lacks)
