"""Names of things: Entra users (object id or UPN) and requests (newest sorts first)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.domain.entity_names import EntityName, parse_entity_name

if TYPE_CHECKING:
    from collections.abc import Sequence

# The forms as texts, for the API's description too.
OBJECT_ID_FORM: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
UPN_FORM: Final = rf"[A-Za-z0-9'.\-_!#^~$+]{{1,64}}@{_LABEL}(?:\.{_LABEL})+"
REQUEST_ID_FORM: Final = r"[0-9a-f]{12}-[0-9a-f]{32}"
# Printable ASCII without blanks around it.
KEY_FORM: Final = r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"
LONGEST_KEY: Final = 255
LONGEST_UPN: Final = 320
_GUID: Final = re.compile(OBJECT_ID_FORM)
_UPN: Final = re.compile(UPN_FORM)
_REQUEST_ID: Final = re.compile(REQUEST_ID_FORM)
_KEY: Final = re.compile(KEY_FORM)
_NAMES_IN_A_SENTENCE: Final = 20
# Blanks around a name are forgiven, but what is kept of a user must have a bound.
LONGEST_GIVEN: Final = 1000
# Around a name every kind of white space is forgiven, and what has no width.
BLANKS: Final = "".join(map(chr, filter(lambda code: chr(code).isspace(), range(0x3001)))) + "\u200b\u200c\u200d\ufeff"

USER_FORM: Final = (
    "is neither an object id (8-4-4-4-12 hexadecimal digits) nor a user principal name (name@domain.tld); "
    "copy it from the user's page in Entra"
)

# 48 bits of milliseconds last until the year 10889; counted down, a later request has a smaller number.
_TIME_CEILING: Final = (1 << 48) - 1
_TIME_DIGITS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UserRef:
    """A user as a caller, an operator or another product's payload named it.

    ``given`` is the text to answer with and ``text`` the text to send to Graph (trimmed; ids in lower case);
    two references with the same ``key`` name the same user for certain, different keys may still do so.
    ``entity`` is set where a payload names the user by neither object id nor UPN: such a user is searched for, and
    ``text`` then never becomes part of a path.
    """

    given: str
    text: str
    is_id: bool
    entity: EntityName | None = None

    @property
    def named(self) -> str:
        """The text that stands for the user in a list of named users."""
        return self.entity.text if self.entity else self.given

    @property
    def key(self) -> str:
        """Case-insensitive form to compare by."""
        return self.text.lower()

    @property
    def is_invited(self) -> bool:
        """Whether the UPN itself says that the account was invited from another tenant."""
        return not self.is_id and self.entity is None and "#ext#" in self.key


def parse_user(text: str) -> UserRef | None:
    """The user a text names, or ``None`` when it has neither form; only what passes here may reach a URL."""
    if not names_user(text):
        return None
    trimmed = text.strip(BLANKS)
    if _GUID.fullmatch(trimmed):
        return UserRef(given=text, text=trimmed.lower(), is_id=True)
    return UserRef(given=text, text=trimmed, is_id=False)


def names_user(text: str) -> bool:
    """Whether a text has one of the two forms; much cheaper than making the reference."""
    if _GUID.fullmatch(text):
        return True
    if len(text) > LONGEST_GIVEN:
        return False
    trimmed = text.strip(BLANKS)
    if _GUID.fullmatch(trimmed):
        return True
    return len(trimmed) <= LONGEST_UPN and _UPN.fullmatch(trimmed) is not None


def parse_stored_user(text: str) -> UserRef | None:
    """The user that a text in a list of named users stands for: as ``parse_user``, and every ``EntityName.text``."""
    if user := parse_user(text):
        return user
    entity = parse_entity_name(text)
    return entity_user(entity) if entity else None


def entity_user(entity: EntityName) -> UserRef:
    """The user whom a payload names so."""
    return UserRef(given=entity.given, text=entity.text.strip(BLANKS), is_id=False, entity=entity)


def names_stored_user(text: str) -> bool:
    """Whether ``parse_stored_user`` finds a user; much cheaper where the text has one of a caller's two forms."""
    return names_user(text) or parse_entity_name(text) is not None


def user_key(text: str) -> str:
    """The ``UserRef.key`` of a text that names a user."""
    return text.strip(BLANKS).lower()


def is_object_id(text: str) -> bool:
    """Whether the text is a GUID in 8-4-4-4-12 form, any case."""
    return _GUID.fullmatch(text) is not None


def listed(names: Sequence[str]) -> str:
    """Names as part of a sentence; of very many only the first twenty."""
    more = f" and {len(names) - _NAMES_IN_A_SENTENCE} more" if len(names) > _NAMES_IN_A_SENTENCE else ""
    return ", ".join(names[:_NAMES_IN_A_SENTENCE]) + more


def new_request_id(now: datetime) -> str:
    """A request id: inverted milliseconds (12 hex digits, newest first), a dash, 128 random bits."""
    return f"{inverted_time(now)}-{secrets.token_hex(16)}"


def inverted_time(moment: datetime) -> str:
    """The first 12 digits that every request accepted at ``moment`` has."""
    millis = (moment - _EPOCH) // timedelta(milliseconds=1)
    return f"{max(0, min(_TIME_CEILING, _TIME_CEILING - millis)):0{_TIME_DIGITS}x}"


def accepted_at(request_id: str) -> datetime:
    """When a request id was made (UTC, milliseconds)."""
    millis = _TIME_CEILING - int(request_id[:_TIME_DIGITS], 16)
    return _EPOCH + timedelta(milliseconds=millis)


def is_request_id(text: str) -> bool:
    """Whether the text can be a request id; anything else is answered as not found without a look-up."""
    return _REQUEST_ID.fullmatch(text) is not None


def is_idempotency_key(value: object) -> bool:
    """Whether a value can be a caller's name for its request: 1 to 255 printable ASCII characters."""
    return isinstance(value, str) and len(value) <= LONGEST_KEY and _KEY.fullmatch(value) is not None
