"""The protected list: users that are never sent to Graph.

Refusing to revoke in an incident is worse than signing out an account that can sign in again, and saying nothing is
worse than both. Hence:

- an entry that was resolved once stays protected by its object id, kept in storage, whatever its name becomes;
- while the group cannot be read, or reads as empty, the members that were read last count for seven days;
- an entry that matches no user is named in warnings and readiness; with ``PROTECTION_STRICT`` requests are refused;
- without any list to go by, no user is sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.errors import RevokerError, TokenUnavailable, Unavailable
from revoke_core.domain.identifiers import is_object_id, listed
from revoke_core.domain.permissions import READ_HIDDEN
from revoke_core.domain.timestamps import written
from revoke_core.service.engine.names import find_names
from revoke_core.service.engine.sources import is_hidden_group, may_be_user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import Clock, ProtectedListStore, StoredProtection

KEPT_FOR: Final = timedelta(days=7)
_FRESH: Final = timedelta(seconds=60)
_WATCHED_EVERY: Final = timedelta(hours=1)
# How old what is kept may look before a list that has not changed is written again.
_REWRITTEN_AFTER: Final = timedelta(hours=1)


class ProtectedListUnreadable(RevokerError):
    """The list cannot be read now, so no user may be revoked; the message names what cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """The list as it is in force.

    ``keys`` are object ids and UPNs in lower case; ``one_form`` those of them that are known by one of the two alone.
    ``unmatched`` are entries that match nobody, ``kept`` says what could not be read where an earlier reading counts
    instead, ``unreadable`` what keeps every user from being sent.
    """

    keys: frozenset[str] = frozenset()
    one_form: frozenset[str] = frozenset()
    entries: int = 0
    members: int = 0
    read_at: datetime | None = None
    unmatched: tuple[str, ...] = ()
    kept: str | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What every request says about it."""
        found = []
        if self.unmatched:
            found.append(
                f"PROTECTED_USERS: {listed(self.unmatched)} matches no user, or more than one by mail address, and "
                "protects nobody. Correct the setting; an object id is best."
            )
        if self.kept and self.read_at:
            found.append(
                f"The protected list cannot be read ({self.kept}): the members of {written(self.read_at)} count "
                f"until {written(self.read_at + KEPT_FOR)}; after that no user is revoked."
            )
        return tuple(found)


class ProtectedUsers:
    """``PROTECTED_USERS`` and the transitive members of ``PROTECTED_GROUP``, read again every minute."""

    def __init__(
        self,
        *,
        users: Sequence[UserRef],
        group: str | None,
        graph: Graph,
        store: ProtectedListStore,
        clock: Clock,
        strict: bool = False,
    ) -> None:
        self._users = tuple(users)
        self._group = group
        self._strict = strict
        self._graph = graph
        self._store = store
        self._clock = clock
        self._protection = Protection()
        self._reading: asyncio.Task[None] | None = None
        self._looked_at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the settings protect no user."""
        return not self._users and self._group is None

    async def look(self) -> Protection:
        """The list, whether or not it lets a user be sent."""
        now = self._clock.now()
        # A reading that seems to lie ahead is from before the clock was set back.
        if not self.is_empty and (self._looked_at is None or not now - _FRESH <= self._looked_at <= now):
            # Several calls may be about to leave: they wait for one reading and share its result.
            self._reading = self._reading or asyncio.create_task(self._read_again())
            await asyncio.shield(self._reading)
        return self._protection

    async def watch(self) -> None:
        """Read a list that was not read for an hour, so that what is wrong with it reaches the log and its alert."""
        now = self._clock.now()
        if self._looked_at is None or not now - _WATCHED_EVERY <= self._looked_at <= now:
            try:
                await self.look()
            except Unavailable as problem:
                logs.failure("protected_list_not_watched", problem)

    async def current(self) -> Protection:
        """The list; ``ProtectedListUnreadable`` when there is none to go by."""
        protection = await self.look()
        if protection.unreadable:
            raise ProtectedListUnreadable(f"Cannot be read: {listed(protection.unreadable)}.")
        return protection

    async def keys(self) -> frozenset[str]:
        """Object ids and UPNs in lower case; ``ProtectedListUnreadable`` as above."""
        return (await self.current()).keys

    async def among(self, rows: Sequence[UserRow]) -> list[UserRow]:
        """Those of some planned users that are protected by now; ``ProtectedListUnreadable`` when that is unknown."""
        if self.is_empty:
            return []
        keys = await self.keys_for([row.target for row in rows if not row.is_looked_up], readable=False)
        return [row for row in rows if row.keys & keys]

    async def keys_for(self, users: Sequence[UserRef], *, readable: bool) -> frozenset[str]:
        """The keys to compare some users with; ``ProtectedListUnreadable`` when they cannot be compared.

        Where users cannot be read, an id and a UPN cannot be found to be the same person: a user is only compared with
        entries of its own form, and where there are entries of the other form alone, the list counts as unreadable.
        """
        if self.is_empty:
            return frozenset()
        protection = await self.current()
        unlisted = set() if readable else {user.is_id for user in users if user.key not in protection.keys}
        # An id beside a listed UPN, or a UPN beside a listed id.
        if unlisted and any(("@" in key) in unlisted for key in protection.one_form):
            raise ProtectedListUnreadable("The app may not read users, so it cannot compare ids with UPNs.")
        return protection.keys

    async def _read_again(self) -> None:
        try:
            protection = await self._read()
            self._protection = protection
            # What keeps everybody waiting is asked for again by the next caller.
            self._looked_at = None if protection.unreadable else self._clock.now()
            _log(protection)
        finally:
            self._reading = None

    async def _read(self) -> Protection:
        stored = await self._store.get()
        now = self._clock.now()
        entries = dict(stored.entries)
        unknown = [user for user in self._users if user.key not in entries]
        found = await find_names(self._graph, unknown)
        entries |= {key: identity for key, identity in found.matches.items() if identity}
        unmatched = tuple(user.given.strip() for user in found.unmatched(unknown))
        # An id protects as it stands, and where the app may read no user, names are only compared with names.
        unread = [user for user in unknown if user.key not in found.matches and not user.is_id and found.is_permitted]
        unreadable = [f"whom {user.text} in PROTECTED_USERS means" for user in unread]
        if self._strict and unmatched:
            unreadable.append(f"PROTECTED_USERS names nobody with {listed(unmatched)} (PROTECTION_STRICT is on)")
        members: frozenset[str] = frozenset()
        read_at: datetime | None = now
        kept: str | None = None
        if self._group:
            try:
                members = await self._read_group(self._group)
            except ProtectedListUnreadable as problem:
                kept = str(problem)
                is_same = stored.group == self._group
                members, read_at = (stored.members, stored.read_at) if is_same else (members, None)
                if read_at is None or now - read_at > KEPT_FOR:
                    unreadable.append(kept)
        ids = {entries[user.key] for user in self._users if user.key in entries}
        resolved = {user.key for user in self._users if user.key in entries and not user.is_id}
        keys = frozenset({user.key for user in self._users} | ids | members)
        fresh = replace(stored, entries=entries, group=self._group, members=members, read_at=read_at)
        await self._keep(fresh, stored, now, has_read_members=kept is None)
        return Protection(
            keys=keys,
            one_form=keys - resolved - {entries[key] for key in resolved},
            entries=len(self._users),
            members=len(members),
            read_at=read_at,
            unmatched=unmatched,
            kept=kept,
            unreadable=tuple(unreadable),
        )

    async def _keep(
        self, fresh: StoredProtection, stored: StoredProtection, now: datetime, *, has_read_members: bool
    ) -> None:
        """Store what was read, unless it stands there already; members that were not read stay as they are."""
        if not has_read_members:
            fresh = replace(stored, entries=fresh.entries)
        is_old = has_read_members and (stored.read_at is None or now - stored.read_at > _REWRITTEN_AFTER)
        if is_old or replace(fresh, read_at=stored.read_at) != stored:
            await self._store.put(fresh)

    async def _read_group(self, group: str) -> frozenset[str]:
        """The members' ids; ``ProtectedListUnreadable`` where a member may be missing."""
        members: set[str] = set()
        hidden = False
        try:
            async for page in self._graph.group_members(group):
                values = page.body.get("value") if page.is_success and page.body else None
                if not isinstance(values, list):
                    raise ProtectedListUnreadable(f"PROTECTED_GROUP {group} was answered with {page.status}")
                members |= _ids(values)
                hidden = hidden or any(isinstance(entry, dict) and is_hidden_group(entry) for entry in values)
            if hidden and READ_HIDDEN not in ((await self._graph.token()).roles or ()):
                raise ProtectedListUnreadable(
                    f"PROTECTED_GROUP {group} holds a group with hidden membership, which needs {READ_HIDDEN}"
                )
        except TokenUnavailable as problem:
            raise ProtectedListUnreadable(f"there is no token to read PROTECTED_GROUP {group} with") from problem
        if not members:
            raise ProtectedListUnreadable(
                f"PROTECTED_GROUP {group} reads as empty: it has no members, or hides them from an app without "
                f"{READ_HIDDEN}"
            )
        return frozenset(members)


def _log(protection: Protection) -> None:
    if protection.unreadable:
        logs.event("protected_list_unreadable", parts=len(protection.unreadable))
    elif protection.kept:
        logs.event("protected_list_kept", members=protection.members)
    if protection.unmatched:
        logs.event("protected_entries_unmatched", entries=len(protection.unmatched))


def _ids(entries: list[Any]) -> set[str]:
    """The users of a page; ``ProtectedListUnreadable`` for one without an id, which would not be protected."""
    found: set[str] = set()
    for entry in entries:
        identity = entry.get("id") if isinstance(entry, dict) else None
        is_user = not isinstance(entry, dict) or may_be_user(entry)
        if not is_user:
            continue
        if not isinstance(identity, str) or not is_object_id(identity):
            raise ProtectedListUnreadable("a member of PROTECTED_GROUP has no object id")
        found.add(identity.lower())
    return found
