"""The directory: users, groups and the other things a group can hold."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local.tenant.clock import seconds_of, stamp

ID_NAMESPACE = uuid.UUID("5e551045-0000-4000-8000-5e7f00d0c0de")
CREATED = 1_735_689_600  # 2025-01-01T00:00:00Z
DEPARTMENTS = ("Sales", "Finance", "Engineering", "Support", "Legal")


def object_id(name: str) -> str:
    """The object id of a seeded object: a UUID5 of its name in lower case, so that documents can quote it."""
    return str(uuid.uuid5(ID_NAMESPACE, name.lower()))


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """A user; the cut-off (`valid_from`) is in whole Unix seconds, `moves` are its changes not yet replicated."""

    id: str
    upn: str
    display_name: str
    department: str | None = None
    job_title: str | None = None
    account_enabled: bool = True
    user_type: str = "Member"
    creation_type: str | None = None
    external_user_state: str | None = None
    is_admin: bool = False
    created: int = CREATED
    valid_from: int = CREATED
    moves: list[tuple[float, int]] | None = None
    extra: dict[str, Any] | None = None

    @property
    def invited(self) -> bool:
        """Whether the user signs in elsewhere: what decides over a revoke, not `userType`."""
        return self.creation_type == "Invitation" or self.external_user_state is not None

    def move_cut_off(self, *, at: float, moment: int) -> None:
        """Set the cut-off to `moment`; `at` is when, on the monotonic clock."""
        if self.moves is None:
            self.moves = [(0.0, self.valid_from)]
        self.moves.append((at, moment))
        self.valid_from = moment

    def visible_cut_off(self, *, at: float, lag: float) -> int:
        """The cut-off as a replica `lag` seconds behind shows it."""
        if not self.moves or not lag:
            return self.valid_from
        while len(self.moves) > 1 and self.moves[1][0] + lag <= at:
            del self.moves[0]
        return self.moves[0][1]


@dataclass(slots=True, kw_only=True, eq=False)
class Thing:
    """A directory object that is neither user nor group: a device, a contact, a service principal."""

    id: str
    kind: str
    display_name: str


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """A group; `members` are object ids. With `everyone` all bulk users are members as well."""

    id: str
    display_name: str
    members: list[str] = field(default_factory=list)
    hidden: bool = False
    everyone: bool = False
    description: str | None = None


Member = User | Group | Thing


class Directory:
    """Every object of the tenant, by id; users by UPN too.

    Bulk users (`user00001@contoso.com` …) come into being on first need: at the first listing, the first miss, or
    chunk by chunk while the server is idle.
    """

    def __init__(self, *, bulk: int = 0, domain: str = "contoso.com") -> None:
        self.version = 0
        self.groups: dict[str, Group] = {}
        self.things: dict[str, Thing] = {}
        self.domain = domain
        self.bulk_ids: list[str] = []
        self._bulk = bulk
        self._users: dict[str, User] = {}
        self._upns: dict[str, User] = {}
        self._expansions: dict[str, tuple[int, list[Member]]] = {}

    def materialise(self, limit: int | None = None) -> bool:
        """Create up to `limit` more bulk users (all of them by default); True while some are left."""
        made = len(self.bulk_ids)
        last = self._bulk if limit is None else min(self._bulk, made + limit)
        for number in range(made + 1, last + 1):
            upn = f"user{number:05d}@{self.domain}"
            user = User(
                id=object_id(upn),
                upn=upn,
                display_name=f"User {number:05d}",
                department=DEPARTMENTS[number % len(DEPARTMENTS)],
            )
            self._users[user.id] = self._upns[upn] = user
            self.bulk_ids.append(user.id)
        if last > made:
            self.version += 1
        return last < self._bulk

    def user(self, key: str) -> User | None:
        """The user with this id or UPN, in any case."""
        name = key.lower()
        found = self._users.get(name) or self._upns.get(name)
        if found is None and len(self.bulk_ids) < self._bulk:
            self.materialise()
            found = self._users.get(name) or self._upns.get(name)
        return found

    def users(self) -> dict[str, User]:
        """All users by id, in order of creation."""
        self.materialise()
        return self._users

    def add_user(self, user: User) -> User:
        """Take a user in; ValueError if id or UPN is taken."""
        if self.user(user.id) or self.user(user.upn):
            raise ValueError(f"'{user.upn}' or its id is in the directory already")
        return self.put(user)

    def put(self, user: User) -> User:
        """Take a user in without looking for a twin (seeds)."""
        self._users[user.id] = self._upns[user.upn.lower()] = user
        self.version += 1
        return user

    def rename(self, user: User, upn: str) -> None:
        """Give a user another UPN; ValueError if it is taken."""
        if (self.user(upn) or user) is not user:
            raise ValueError(f"'{upn}' is in the directory already")
        del self._upns[user.upn.lower()]
        user.upn = upn
        self._upns[upn.lower()] = user

    def remove_user(self, user: User) -> None:
        """Delete a user, out of every group too."""
        del self._users[user.id], self._upns[user.upn.lower()]
        if user.id in self.bulk_ids:
            # Counted down as well: a gap must not make the last bulk user come back.
            self.bulk_ids.remove(user.id)
            self._bulk -= 1
        self.version += 1

    def group(self, key: str) -> Group | None:
        """The group with this id, in any case."""
        return self.groups.get(key.lower())

    def members(self, group: Group, *, transitive: bool) -> list[Member]:
        """A group's members, or everything below it once; a cycle is walked once and never names its own root."""
        if not transitive:
            return list(self._direct(group))
        cached = self._expansions.get(group.id)
        if cached and cached[0] == self.version:
            return cached[1]
        found: dict[str, Member] = {}
        queue = [group]
        while queue:
            for member in self._direct(queue.pop(0)):
                if member.id != group.id and member.id not in found:
                    found[member.id] = member
                    if isinstance(member, Group):
                        queue.append(member)
        expansion = list(found.values())
        self._expansions[group.id] = (self.version, expansion)
        return expansion

    def _direct(self, group: Group) -> Iterator[Member]:
        if group.everyone:
            users = self.users()
            yield from [users[key] for key in self.bulk_ids]
        for key in group.members:
            member: Member | None = self.user(key) or self.groups.get(key) or self.things.get(key)
            if member is not None:
                yield member


def kind_of(member: Member) -> str:
    """The OData type name of a directory object, without its namespace."""
    if isinstance(member, User):
        return "user"
    return "group" if isinstance(member, Group) else member.kind


_FIELDS: dict[str, Callable[[User], Any]] = {
    "id": lambda user: user.id,
    "userPrincipalName": lambda user: user.upn,
    "displayName": lambda user: user.display_name,
    "department": lambda user: user.department,
    "jobTitle": lambda user: user.job_title,
    "accountEnabled": lambda user: user.account_enabled,
    "userType": lambda user: user.user_type,
    "creationType": lambda user: user.creation_type,
    "externalUserState": lambda user: user.external_user_state,
    "createdDateTime": lambda user: stamp(user.created),
    "signInSessionsValidFromDateTime": lambda user: stamp(user.valid_from),
    "givenName": lambda user: user.display_name.split(" ", 1)[0],
    "surname": lambda user: user.display_name.rpartition(" ")[2],
    "mail": lambda user: None if user.invited else user.upn,
    "mailNickname": lambda user: user.upn.split("@", 1)[0],
    "businessPhones": lambda _: [],
    "otherMails": lambda _: [],
    "proxyAddresses": lambda _: [],
}
_EMPTY = (
    "mobilePhone officeLocation preferredLanguage companyName city state country postalCode streetAddress usageLocation "
    "employeeId employeeType ageGroup deletedDateTime externalUserStateChangeDateTime lastPasswordChangeDateTime "
    "onPremisesSyncEnabled onPremisesImmutableId onPremisesSamAccountName onPremisesUserPrincipalName "
    "onPremisesDomainName onPremisesLastSyncDateTime onPremisesSecurityIdentifier passwordPolicies"
).split()
USER_PROPERTIES = frozenset([*_FIELDS, *_EMPTY])
_WRITABLE = {
    "displayName": "display_name",
    "department": "department",
    "jobTitle": "job_title",
    "accountEnabled": "account_enabled",
    "userType": "user_type",
    "creationType": "creation_type",
    "externalUserState": "external_user_state",
    "isAdmin": "is_admin",
}


def read_property(user: User, name: str) -> Any:
    """A property of `USER_PROPERTIES` as JSON carries it."""
    if user.extra and name in user.extra:
        return user.extra[name]
    field_of = _FIELDS.get(name)
    return field_of(user) if field_of else None


def write_properties(user: User, values: dict[str, Any]) -> None:
    """Set properties of a user by their Graph names (and `isAdmin`); ValueError for one that is none."""
    for name, value in values.items():
        if name in _WRITABLE:
            setattr(user, _WRITABLE[name], value)
        elif name == "signInSessionsValidFromDateTime":
            user.valid_from, user.moves = int(seconds_of(value)), None
        elif name in USER_PROPERTIES - {"id", "userPrincipalName"}:
            user.extra = {**(user.extra or {}), name: value}
        elif name not in {"id", "userPrincipalName"}:
            raise ValueError(f"unknown property '{name}'")


def new_user(values: dict[str, Any], *, now: float) -> User:
    """A user from Graph property names; ValueError without `userPrincipalName` or with an unknown property."""
    upn = values.get("userPrincipalName")
    if not isinstance(upn, str) or "@" not in upn:
        raise ValueError("userPrincipalName is required")
    user = User(
        id=str(values.get("id") or object_id(upn)).lower(),
        upn=upn,
        display_name=upn.split("@", 1)[0],
        created=int(now),
        valid_from=int(now) - 86400,
    )
    write_properties(user, values)
    return user
