"""The tenant's users and groups, and the people every test and every page of the docs can count on."""

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local.simulator.clock import Clock, seconds_of, stamp

NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
CREATED_AT = 1_756_684_800.0
DEPARTMENTS = ("HP", "Finance", "Legal", "Sales")
HIDDEN = "HiddenMembership"
TENANT_DOMAIN = "contoso.onmicrosoft.com"
EXTERNAL_ISSUER = "ExternalAzureAD"
MEMBER_KINDS = ("user", "group", "device", "servicePrincipal", "orgContact")


def object_id(name: str) -> str:
    """The object id of a seeded object: the same on every machine, so that docs can quote it."""
    return str(uuid.uuid5(NAMESPACE, name.lower()))


@dataclass(slots=True)
class User:
    """A user: its Graph properties, whether it holds an admin role, and its cut-off as time goes by."""

    properties: dict[str, Any]
    is_admin: bool = False
    valid_from: float = CREATED_AT
    moves: list[tuple[float, float]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The object id."""
        return str(self.properties["id"])

    @property
    def upn(self) -> str:
        """The user principal name."""
        return str(self.properties["userPrincipalName"])

    @property
    def signs_in_elsewhere(self) -> bool:
        """Whether another tenant holds the user's sessions, whatever invitations there were."""
        identities = self.properties.get("identities") or []
        return any(isinstance(one, dict) and one.get("issuer") == EXTERNAL_ISSUER for one in identities)

    def cut_off(self, now: float, lag: float) -> float:
        """The sign-in cut-off as a replica shows it that is `lag` seconds behind."""
        seen = [value for at, value in self.moves if at + lag <= now]
        return seen[-1] if seen else CREATED_AT

    def move_cut_off(self, now: float) -> None:
        """Make every session older than now worthless; whole seconds, as in the directory."""
        self.moves.append((now, float(int(now))))
        self.valid_from = float(int(now))

    def shown(self, now: float, lag: float) -> dict[str, Any]:
        """All properties as Graph writes them."""
        return self.properties | {"signInSessionsValidFromDateTime": stamp(self.cut_off(now, lag))}


@dataclass(slots=True)
class Group:
    """A group; members are (kind, object id), the kind one of `MEMBER_KINDS`."""

    id: str
    display_name: str
    members: list[tuple[str, str]] = field(default_factory=list)
    visibility: str | None = None


class Directory:
    """Users by id and UPN, groups by id; names compare without case."""

    def __init__(self, *, clock: Clock, bulk_users: int) -> None:
        self.clock = clock
        self.users: dict[str, User] = {}
        self._by_upn: dict[str, str] = {}
        self.groups: dict[str, Group] = {}
        for properties, is_admin in _people(bulk_users):
            self.add(properties, is_admin=is_admin)
        for group in _groups():
            self.groups[group.id] = group

    def add(self, properties: dict[str, Any], *, is_admin: bool = False) -> User:
        """Add or replace a user; ValueError without a user principal name."""
        upn = properties.get("userPrincipalName")
        if not isinstance(upn, str) or "@" not in upn:
            raise ValueError("userPrincipalName is required")
        whole = _user(upn, str(properties.get("displayName") or upn.split("@")[0])) | properties
        whole["id"] = str(whole["id"]).lower()
        whole.setdefault("securityIdentifier", security_identifier(whole["id"]))
        if whole["onPremisesSyncEnabled"] and not whole["onPremisesSecurityIdentifier"]:
            whole["onPremisesSecurityIdentifier"] = on_premises_sid(upn)
        user = User(whole, is_admin=is_admin)
        self._forget(user.id)
        self.users[user.id] = user
        self._by_upn[upn.lower()] = user.id
        return user

    def change(self, user: User, content: dict[str, Any]) -> None:
        """Change properties; a renamed user is found under its new name only, and the cut-off can be set."""
        content = dict(content)
        moved = content.pop("signInSessionsValidFromDateTime", None)
        if isinstance(moved, str):
            user.valid_from = seconds_of(moved)
            user.moves.append((self.clock.now(), user.valid_from))
        self._by_upn.pop(user.upn.lower(), None)
        user.properties |= content
        self._by_upn[user.upn.lower()] = user.id

    def find(self, key: str) -> User | None:
        """The user an id or UPN names."""
        return self.users.get(self._by_upn.get(key.lower(), key.lower()))

    def add_group(self, content: dict[str, Any]) -> Group:
        """Add or replace a group; ValueError names the fault in its description."""
        name, visibility = content.get("displayName"), content.get("visibility")
        if not isinstance(name, str) or not name:
            raise ValueError("displayName is required")
        members = content.get("members", [])
        if not isinstance(members, list):
            raise ValueError("members must be a list")  # noqa: TRY004 - one error type for every wrong value
        if visibility is not None and not isinstance(visibility, str):
            raise ValueError("visibility must be a text")
        identity = str(content.get("id") or object_id(f"group:{name}")).lower()
        # A group that holds a member twice does not exist.
        group = Group(identity, name, list(dict.fromkeys(self._member(entry) for entry in members)), visibility)
        self.groups[identity] = group
        return group

    def _member(self, entry: Any) -> tuple[str, str]:
        if isinstance(entry, dict):
            kind, identity = entry.get("type"), entry.get("id")
            if kind not in MEMBER_KINDS or not isinstance(identity, str):
                raise ValueError(f"a member is an id, or {{type: {'|'.join(MEMBER_KINDS)}, id}}")
            return kind, identity.lower()
        key = str(entry).lower()
        if user := self.find(key):
            return "user", user.id
        if key in self.groups:
            return "group", key
        raise ValueError(f"there is no user or group {entry}; give members of other kinds as {{type, id}}")

    def remove(self, key: str) -> bool:
        """Delete a user and its memberships, as if it had been purged."""
        user = self._forget(key)
        if user is None:
            return False
        for group in self.groups.values():
            group.members = [member for member in group.members if member != ("user", user.id)]
        return True

    def _forget(self, key: str) -> User | None:
        user = self.find(key)
        if user is not None:
            del self.users[user.id]
            self._by_upn.pop(user.upn.lower(), None)
        return user

    def transitive(self, group: Group, *, hidden: bool) -> list[tuple[str, str]]:
        """All members at any depth, each once; a cycle ends where it began.

        ``hidden``: also those whom groups with hidden membership have.
        """
        found: dict[tuple[str, str], None] = {}
        waiting = [group]
        while waiting:
            for member in waiting.pop().members:
                if member in found:
                    continue
                found[member] = None
                nested = self.groups.get(member[1]) if member[0] == "group" else None
                if nested and (hidden or nested.visibility != HIDDEN):
                    waiting.append(nested)
        return list(found)


def security_identifier(identity: str) -> str | None:
    """The SID that Entra derives from an object id: its four 32-bit numbers."""
    try:
        numbers = struct.unpack("<4I", uuid.UUID(identity).bytes_le)
    except ValueError:
        return None
    return "-".join(["S-1-12-1", *map(str, numbers)])


def _identities(upn: str) -> list[dict[str, str | None]]:
    """An account of this tenant has its UPN; a user of another one, whose UPN says ``#EXT#``, has a foreign one too."""
    own: dict[str, str | None] = {"signInType": "userPrincipalName", "issuer": TENANT_DOMAIN, "issuerAssignedId": upn}
    foreign: dict[str, str | None] = {"signInType": "federated", "issuer": EXTERNAL_ISSUER, "issuerAssignedId": None}
    return [foreign, own] if "#EXT#" in upn.upper() else [own]


def on_premises_sid(upn: str) -> str:
    """The SID that Active Directory gave a synchronised account."""
    numbers = struct.unpack("<3I", uuid.uuid5(NAMESPACE, f"domain:{upn.lower()}").bytes[:12])
    return "-".join(["S-1-5-21", *map(str, numbers), "1104"])


def _user(upn: str, name: str, **more: Any) -> dict[str, Any]:
    given, _, surname = name.partition(" ")
    return {
        "id": object_id(upn),
        "userPrincipalName": upn,
        "displayName": name,
        "givenName": given,
        "surname": surname or None,
        "mail": None if "#EXT#" in upn else upn,
        "proxyAddresses": [] if "#EXT#" in upn else [f"SMTP:{upn}"],
        "businessPhones": [],
        "mobilePhone": None,
        "jobTitle": None,
        "officeLocation": None,
        "preferredLanguage": None,
        "department": None,
        "userType": "Member",
        "accountEnabled": True,
        "creationType": None,
        "externalUserState": None,
        "identities": _identities(upn),
        "onPremisesSyncEnabled": None,
        "onPremisesSecurityIdentifier": None,
        "createdDateTime": stamp(CREATED_AT),
    } | more


def _people(bulk: int) -> Iterator[tuple[dict[str, Any], bool]]:
    invited = {"creationType": "Invitation", "externalUserState": "Accepted"}
    yield _user("adele@contoso.com", "Adele Vance", department="HP", jobTitle="Retail Manager"), False
    yield _user("bob@contoso.com", "Bob Kelly", department="Finance"), False
    yield _user("carol@contoso.com", "Carol Poland", department="HP"), False
    for number in range(1, 21):
        yield _user(f"team{number:02d}@contoso.com", f"Team {number:02d}", department="Sales"), False
    yield _user("breakglass@contoso.com", "Break Glass"), True
    yield _user("root.admin@contoso.com", "Root Admin"), True
    yield _user("dora.disabled@contoso.com", "Dora Disabled", accountEnabled=False), False
    yield _user("guest_fabrikam.com#EXT#@contoso.com", "Gail Guest", userType="Guest", **invited), False
    yield _user("member_fabrikam.com#EXT#@contoso.com", "Mel Member", **invited), False
    yield _user("local.guest@contoso.com", "Lou Guest", userType="Guest"), False
    yield _user("$money@contoso.com", "Dollar Money"), False
    yield _user("conor.o'neil@contoso.com", "Conor O'Neil"), False
    # Found by what is no user principal name: a SID of Active Directory, a mail address, one that two users have.
    addresses = ["SMTP:erin.ferris@contoso.com", "smtp:eferris@contoso.com"]
    synced = {"onPremisesSyncEnabled": True, "mail": "erin.ferris@contoso.com", "proxyAddresses": addresses}
    yield _user("erin@contoso.com", "Erin Ferris", **synced), False
    shared = "helpdesk@contoso.com"
    yield _user("desk.one@contoso.com", "Desk One", mail=shared, proxyAddresses=[f"SMTP:{shared}"]), False
    others = ["SMTP:desk.two@contoso.com", f"smtp:{shared}"]
    yield _user("desk.two@contoso.com", "Desk Two", proxyAddresses=others), False
    for number in range(1, bulk + 1):
        upn = f"user{number:05d}@contoso.com"
        yield _user(upn, f"User {number:05d}", department=DEPARTMENTS[number % len(DEPARTMENTS)]), False


def _groups() -> Iterator[Group]:
    def users(*upns: str) -> list[tuple[str, str]]:
        return [("user", object_id(upn)) for upn in upns]

    outer, inner = object_id("group:All of HP"), object_id("group:Inner circle")
    yield Group(object_id("group:HP team"), "HP team", users("adele@contoso.com", "carol@contoso.com"))
    yield Group(outer, "All of HP", [*users("adele@contoso.com", "bob@contoso.com"), ("group", inner)])
    yield Group(inner, "Inner circle", [*users("carol@contoso.com", "bob@contoso.com"), ("group", outer)])
    mixed = users("adele@contoso.com", "guest_fabrikam.com#EXT#@contoso.com", "dora.disabled@contoso.com")
    devices = [("device", object_id("device:laptop-1")), ("servicePrincipal", object_id("sp:app-1"))]
    yield Group(object_id("group:Mixed"), "Mixed", mixed + devices)
    yield Group(object_id("group:Protected"), "Protected", users("breakglass@contoso.com", "carol@contoso.com"))
    yield Group(object_id("group:Hidden"), "Hidden", users("bob@contoso.com"), HIDDEN)
