"""What Graph does for each route: permissions first, then the directory."""

import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from local.simulator.audits import AuditLog
from local.simulator.clock import Clock, fine_stamp
from local.simulator.directory import HIDDEN, Directory, User
from local.simulator.errors import bad_request, denied, not_found, unsupported_query
from local.simulator.exchange import METADATA, Answer, Call
from local.simulator.filters import Test, parsed_filter
from local.simulator.paging import page
from local.simulator.settings import Settings
from local.simulator.sign_ins import SignInLog

REVOKE: Final = {"User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All"}
READ_USERS: Final = {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
READ_BASIC: Final = READ_USERS | {"User.ReadBasic.All"}
READ_GROUPS: Final = {"GroupMember.Read.All", "Group.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"}
READ_HIDDEN: Final = {"Member.Read.Hidden"}
READ_AUDITS: Final = {"AuditLog.Read.All"}
_DEFAULT: Final = (
    *("id", "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation"),
    *("preferredLanguage", "surname", "userPrincipalName"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One revoke call that was answered, 2xx or not: the truth that tests compare with."""

    user_id: str
    at: float
    status: int
    effective: bool
    via: str
    request_id: str

    def as_json(self) -> dict[str, Any]:
        """The entry as ``GET /_sim/revocations`` shows it."""
        return {
            "userId": self.user_id,
            "at": fine_stamp(self.at),
            "status": self.status,
            "effective": self.effective,
            "via": self.via,
            "requestId": self.request_id,
        }


@dataclass(slots=True, kw_only=True)
class Operations:
    """The directory's operations."""

    directory: Directory
    settings: Settings
    clock: Clock
    audits: AuditLog
    sign_ins: SignInLog
    served: list[Served] = field(default_factory=list)

    def perform(self, call: Call) -> Answer:  # noqa: PLR0911 -- one return per route reads best
        """Answer a routed call; GraphError when Graph would refuse it."""
        if call.route is None:
            raise ValueError("the call has no route")
        match call.route.name:
            case "revoke":
                return self._revoke(call, call.route.key)
            case "user":
                return self._user(call, call.route.key)
            case "users":
                return self._users(call)
            case "groups":
                return self._groups(call)
            case "group":
                _need(call, READ_GROUPS)
                group = self._group(call.route.key)
                return Answer(status=200, body={"id": group.id, "displayName": group.display_name})
            case "members" | "transitiveMembers":
                return self._members(call, call.route.key)
            case _:
                _need(call, READ_AUDITS)
                return (self.sign_ins if call.route.name == "signIns" else self.audits).read(call)

    def allows(self, call: Call) -> bool:
        """Whether the token's roles let a revoke through; without them it is refused before it is counted."""
        accepted = {"User.RevokeSessions.All"} if self.settings.strict_revoke_permission else REVOKE
        return bool(call.held_roles() & accepted)

    def move_cut_off(self, user: User, admin: str, *, password: bool) -> None:
        """An administrator revokes the user's sessions, or sets a new password, which ends them as well."""
        before = user.valid_from
        user.move_cut_off(self.clock.now())
        self.audits.note_by_person(user, before, admin, password=password)

    def note(self, call: Call, key: str, status: int, *, effective: bool) -> None:
        """Enter an answered revoke call into the log."""
        user = self.directory.find(key)
        self.served.append(
            Served(
                user_id=user.id if user else key,
                at=self.clock.now(),
                status=status,
                effective=effective,
                via=call.via,
                request_id=call.request_id,
            )
        )

    def _revoke(self, call: Call, key: str) -> Answer:
        if not self.allows(call):
            raise self._revoke_denied()
        user = self._find(key)
        if user.is_admin and self.settings.admin_targets == "refuse":
            raise self._revoke_denied()
        before = user.valid_from
        if not user.signs_in_elsewhere:
            user.move_cut_off(self.clock.now())
            self.audits.note_revoke(user, before, call)
        self.note(call, key, self.settings.revoke_status, effective=not user.signs_in_elsewhere)
        if self.settings.revoke_status == 204:  # noqa: PLR2004 -- HTTP's No Content
            return Answer(status=204)
        return Answer(status=200, body={"@odata.context": f"{METADATA}#Edm.Boolean", "value": True})

    def _revoke_denied(self) -> Exception:
        if self.settings.revoke_denied == "generic":
            return denied()
        return denied("Access to invalidate refresh tokens operation is denied.")

    def _user(self, call: Call, key: str) -> Answer:
        _need(call, READ_BASIC)
        selected = _selected(call)
        if "signInSessionsValidFromDateTime" in selected:
            _need(call, READ_USERS)
        shown = self._shown(self._find(key), selected)
        return Answer(status=200, body={"@odata.context": f"{METADATA}#users/$entity", **shown})

    def _users(self, call: Call) -> Answer:
        _need(call, READ_BASIC)
        if "$search" in call.params and not call.eventual:
            raise unsupported_query(
                "Request with $search query parameter only works through MSGraph with a special request header: "
                "'ConsistencyLevel: eventual'"
            )
        test = self._filter(call)
        selected = _selected(call)
        if "signInSessionsValidFromDateTime" in selected:
            _need(call, READ_USERS)
        found = [user for user in self.directory.users.values() if test is None or test(user.properties)]
        return page(
            call,
            found,
            lambda user: self._shown(user, selected),
            settings=self.settings,
            clock=self.clock,
            context="users",
        )

    def _filter(self, call: Call) -> Test | None:
        text = call.params.get("$filter")
        return parsed_filter(text, advanced=call.advanced, settings=self.settings) if text else None

    def _groups(self, call: Call) -> Answer:
        _need(call, READ_GROUPS)
        test = self._filter(call)
        shown = [{"id": group.id, "displayName": group.display_name} for group in self.directory.groups.values()]
        items = [item for item in shown if test is None or test(item)]
        return page(call, items, dict, settings=self.settings, clock=self.clock, context="groups")

    def _members(self, call: Call, key: str) -> Answer:
        _need(call, READ_GROUPS)
        group = self._group(key)
        route = call.route
        if route and route.cast and not call.advanced:
            raise bad_request("$count is not currently supported.", code="Request_BadRequest")
        transitive = route is not None and route.name == "transitiveMembers"
        hidden = bool(call.held_roles() & READ_HIDDEN)
        members = self.directory.transitive(group, hidden=hidden) if transitive else group.members
        if group.visibility == HIDDEN and not hidden:
            members = []
        # A property of groups may be selected beside those of users: each member shows what it has.
        selected = tuple(name for name in _selected(call) if name != "visibility")
        wanted = [member for member in members if not (route and route.cast) or member[0] == "user"]

        def show(member: tuple[str, str]) -> dict[str, Any]:
            return {"@odata.type": f"#microsoft.graph.{member[0]}", **self._member(call, *member, selected)}

        return page(call, wanted, show, settings=self.settings, clock=self.clock, context="directoryObjects")

    def _member(self, call: Call, kind: str, identity: str, selected: tuple[str, ...]) -> dict[str, Any]:
        if kind == "group" and "visibility" in _selected(call):
            return {"id": identity, "visibility": self.directory.groups[identity].visibility}
        user = self.directory.users.get(identity) if kind == "user" else None
        # A caller that may read memberships but no users gets each member's id and nothing else.
        if user is None or not call.held_roles() & READ_USERS:
            return {"id": identity}
        return self._shown(user, selected)

    def _shown(self, user: User, selected: tuple[str, ...]) -> dict[str, Any]:
        known = user.shown(self.clock.now(), self.settings.lag_seconds)
        names = {name.lower(): name for name in known}
        unknown = [name for name in selected if name.lower() not in names]
        if unknown:
            raise bad_request(f"Could not find a property named '{unknown[0]}' on type 'microsoft.graph.user'.")
        return {names[name.lower()]: known[names[name.lower()]] for name in selected}

    def _find(self, key: str) -> User:
        if self.settings.upn_keys == "refuse" and "@" in key:
            raise bad_request("Get By Key only supports UserId and the key has to be a valid Guid")
        user = self.directory.find(key)
        if user is None:
            raise not_found(key)
        return user

    def _group(self, key: str) -> Any:
        group = self.directory.groups.get(key.lower())
        if group is None:
            raise not_found(key)
        return group


def _need(call: Call, accepted: set[str]) -> None:
    if not call.held_roles() & accepted:
        raise denied()


def _selected(call: Call) -> tuple[str, ...]:
    names = tuple(name.strip() for name in call.params.get("$select", "").split(",") if name.strip())
    return names or _DEFAULT


def new_request_id() -> str:
    """A request id as Graph makes them."""
    text = secrets.token_hex(16)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
