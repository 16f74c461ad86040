"""What a caller asks for, and how its words are read: every fault is found before anything happens."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, overload

from revoke_core.domain.errors import Fault, GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.identifiers import USER_FORM, UserRef, is_object_id, names_user, parse_user, user_key

if TYPE_CHECKING:
    from collections.abc import Iterable

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


class NamedUsers(Sequence[UserRef]):
    """Users kept as the texts that named them: a reference is only made for the one that is looked at.

    A request may name 100,000 users, and as references they would take four times the room. Every text must have
    passed ``names_user``.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = texts if isinstance(texts, list) else list(texts)

    @property
    def texts(self) -> Sequence[str]:
        """The texts as they were given."""
        return self._texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> UserRef: ...

    @overload
    def __getitem__(self, place: slice) -> NamedUsers: ...

    def __getitem__(self, place: int | slice) -> UserRef | NamedUsers:
        if isinstance(place, slice):
            return NamedUsers(self._texts[place])
        user = parse_user(self._texts[place])
        if user is None:
            raise ValueError("a text that names no user was taken for a user")
        return user

    def __eq__(self, other: object) -> bool:
        return self._texts == other._texts if isinstance(other, NamedUsers) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._texts))

    def __repr__(self) -> str:
        return f"NamedUsers({len(self._texts)} users)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequest:
    """A valid request. ``users`` are in the order named and may still name somebody twice.

    ``groups`` are object ids of groups whose user members are meant, transitive ones unless ``transitive`` is false;
    ``filter`` is an OData filter over Graph's ``/users``; ``retry_of`` is a request whose failed users are meant.
    ``part_sizes`` is how many named users stand in each part of a stored request; there ``users`` is empty when they
    take more than one part, and ``StatusLog.named_users`` reads them.
    """

    users: Sequence[UserRef] = NamedUsers()
    groups: tuple[str, ...] = ()
    transitive: bool = True
    filter: str | None = None
    retry_of: str | None = None
    exclude: tuple[UserRef, ...] = ()
    reason: str | None = None
    expected_users: int | None = None
    dry_run: bool = False
    verify: bool = True
    part_sizes: tuple[int, ...] = field(default=(), compare=False)

    @property
    def named_parts(self) -> int:
        """In how many parts the named users are stored; 0 for a request that was not read from storage."""
        return len(self.part_sizes)

    @property
    def named(self) -> int:
        """How many users are named, repetitions included, wherever they stand."""
        return len(self.users) or sum(self.part_sizes)

    def distinct(self) -> int:
        """How many of ``users`` are left once textual repetitions are folded."""
        return len(set(_keys(self.users)))

    def digest(self) -> str:
        """SHA-256 over the meaning of the request, so that spacing and key order do not matter."""
        meaning = {
            "users": list(_keys(self.users)),
            "groups": sorted(self.groups),
            "transitive": self.transitive,
            "filter": self.filter,
            "retryOf": self.retry_of,
            "exclude": sorted(_keys(self.exclude)),
            "reason": self.reason,
            "expectedUsers": self.expected_users,
            "dryRun": self.dry_run,
            "verify": self.verify,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClaims:
    """What only a queue message may carry beside the request: its own key, and who it says sent it."""

    idempotency_key: str | None = None
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The operator's limits on one request."""

    max_users: int
    require_reason: bool


def read_json(body: bytes) -> Any:
    """The JSON value of a body: UTF-8, a byte order mark is skipped, doubled keys and NaN are faults."""
    if len(body) > LARGEST_BODY:
        raise TooLarge("The body is larger than 16 MiB; send the users in several requests.")
    if not body.strip():
        raise InvalidRequest([Fault("", 'the body is empty; send JSON such as {"user": "adele@contoso.com"}')])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest([Fault("", "the body is not UTF-8")]) from None
    doubled: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            doubled.extend(sorted({name for name in names if names.count(name) > 1}))
        return members

    def not_a_number(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=not_a_number)
    except RecursionError:
        raise InvalidRequest([Fault("", "the JSON is nested too deeply")]) from None
    except ValueError as problem:
        raise InvalidRequest([Fault("", f"the body is not valid JSON: {_short(str(problem))}")]) from None
    if doubled:
        raise InvalidRequest([Fault(f"/{_escaped(name)}", "is given more than once") for name in doubled])
    return value


def parse_request(value: Any, limits: Limits, *, allowed: tuple[str, ...] = BODY_FIELDS) -> RevocationRequest:
    """The request a JSON value stands for, or ``InvalidRequest`` with all its faults."""
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", "must be a JSON object")])
    reader = _Reader({name: member for name, member in value.items() if member is not None})
    reader.refuse_unknown(allowed)
    users = reader.users("user") + reader.users("users")
    groups = reader.groups("groups")
    transitive = reader.flag("transitive", default=True)
    request = RevocationRequest(
        users=NamedUsers(users),
        groups=groups,
        # Without groups it says nothing, and then it must not tell two requests apart either.
        transitive=transitive or not groups,
        filter=reader.filter("filter"),
        exclude=tuple(NamedUsers(reader.users("exclude"))),
        reason=reader.text("reason", LONGEST_REASON),
        expected_users=reader.count("expectedUsers"),
        dry_run=reader.flag("dryRun", default=False),
        verify=reader.flag("verify", default=True),
    )
    if not reader.names_somebody():
        reader.faults.append(Fault("", "names nobody; give user, users, groups or filter"))
    if limits.require_reason and not (request.reason or "").strip():
        reader.faults.append(Fault("/reason", "is required here (REQUIRE_REASON); say why, e.g. a ticket number"))
    if reader.faults:
        raise InvalidRequest(reader.faults)
    if len(users) > limits.max_users:
        raise GuardRefused(
            f"The request names {len(users)} users and at most {limits.max_users} are allowed (MAX_USERS). "
            "Send several requests, or have an operator raise the limit."
        )
    return request


def parse_own_request(value: Any, user_id: str, limits: Limits) -> RevocationRequest:
    """As ``parse_request`` for a caller's own sessions: who is meant is known, and only a reason can be given."""
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", "must be a JSON object")])
    reader = _Reader({name: member for name, member in value.items() if member is not None})
    reader.refuse_unknown(OWN_FIELDS)
    try:
        request = parse_request({"user": user_id, "reason": value.get("reason")}, limits)
    except InvalidRequest as problem:
        raise InvalidRequest(reader.faults + problem.faults) from None
    if reader.faults:
        raise InvalidRequest(reader.faults)
    return request


def parse_queue_request(value: Any, limits: Limits) -> tuple[RevocationRequest, QueueClaims]:
    """As ``parse_request`` for a queue message, which may also carry its key and its sender."""
    faults: list[Fault] = []
    claims = QueueClaims()
    if isinstance(value, dict):
        reader = _Reader({name: member for name, member in value.items() if member is not None})
        claims = QueueClaims(
            idempotency_key=reader.text("idempotencyKey", LONGEST_KEY),
            requested_by=reader.text("requestedBy", LONGEST_NAME),
        )
        faults = reader.faults
    try:
        request = parse_request(value, limits, allowed=BODY_FIELDS + QUEUE_FIELDS)
    except InvalidRequest as problem:
        raise InvalidRequest(problem.faults + faults) from None
    if faults:
        raise InvalidRequest(faults)
    return request, claims


class _Reader:
    """Reads members one by one and collects what is wrong with them."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self.faults: list[Fault] = []

    def refuse_unknown(self, allowed: tuple[str, ...]) -> None:
        for name in self._members:
            if name not in allowed:
                known = ", ".join(allowed)
                self.faults.append(Fault(f"/{_escaped(name)}", f"is not a known field; known are {known}"))

    def names_somebody(self) -> bool:
        return any(self._members.get(name) not in (None, []) for name in _TARGETS)

    def users(self, name: str) -> list[str]:
        """The texts that name users, as given."""
        member = self._members.get(name)
        if member is None:
            return []
        if name == "user":
            return [member] if self._is_user(member, "/user") else []
        if not isinstance(member, list):
            self.faults.append(Fault(f"/{name}", "must be an array of object ids or user principal names"))
            return []
        if all(isinstance(item, str) for item in member) and all(map(names_user, member)):
            return member
        return [item for position, item in enumerate(member) if self._is_user(item, f"/{name}/{position}")]

    def _is_user(self, value: Any, pointer: str) -> bool:
        if not isinstance(value, str):
            self.faults.append(Fault(pointer, "must be a text: an object id or a user principal name"))
            return False
        if not names_user(value):
            self.faults.append(Fault(pointer, USER_FORM))
            return False
        return True

    def groups(self, name: str) -> tuple[str, ...]:
        """Object ids in lower case, each once, in the order first named."""
        member = self._members.get(name)
        if member is None:
            return ()
        if not isinstance(member, list):
            self.faults.append(Fault(f"/{name}", "must be an array of object ids of groups"))
            return ()
        found: dict[str, None] = {}
        for position, item in enumerate(member):
            identity = item.strip(_BLANKS).lower() if isinstance(item, str) else ""
            if is_object_id(identity):
                found[identity] = None
            else:
                self.faults.append(Fault(f"/{name}/{position}", GROUP_FORM))
        return tuple(found)

    def filter(self, name: str) -> str | None:
        """An OData filter without the blanks around it; whether Graph takes it only Graph can say."""
        text = self.text(name, LONGEST_FILTER)
        if text is None:
            return None
        trimmed = text.strip()
        if not trimmed:
            self.faults.append(Fault(f"/{name}", "is blank; give an OData filter such as department eq 'HP'"))
            return None
        if _CONTROLS.search(trimmed):
            self.faults.append(Fault(f"/{name}", "holds control characters; write the filter in one line"))
            return None
        return trimmed

    def text(self, name: str, longest: int) -> str | None:
        member = self._members.get(name)
        if member is None:
            return None
        if not isinstance(member, str):
            self.faults.append(Fault(f"/{name}", "must be a text"))
            return None
        if len(member) > longest:
            self.faults.append(Fault(f"/{name}", f"is longer than {longest} characters"))
            return None
        if not _storable(member):
            self.faults.append(Fault(f"/{name}", "holds characters that cannot be stored (lone surrogates)"))
            return None
        return member

    def count(self, name: str) -> int | None:
        member = self._members.get(name)
        if member is None:
            return None
        if isinstance(member, bool) or not isinstance(member, int) or member < 0:
            self.faults.append(Fault(f"/{name}", "must be a whole number, 0 or more"))
            return None
        return member

    def flag(self, name: str, *, default: bool) -> bool:
        member = self._members.get(name)
        if member is None:
            return default
        if not isinstance(member, bool):
            self.faults.append(Fault(f"/{name}", "must be true or false"))
            return default
        return member


def _keys(users: Iterable[UserRef]) -> Iterable[str]:
    return map(user_key, users.texts) if isinstance(users, NamedUsers) else (user.key for user in users)


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    printable = name.encode("utf-8", "replace").decode()
    return _short(printable.replace("~", "~0").replace("/", "~1"))


def _short(text: str, longest: int = 120) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
