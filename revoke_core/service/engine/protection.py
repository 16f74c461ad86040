"""The protected list: users that are never sent to Graph; while it cannot be read, no user is sent."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.errors import RevokerError, TokenUnavailable
from revoke_core.domain.identifiers import is_object_id
from revoke_core.service.engine.sources import may_be_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import Clock

_FRESH: Final = timedelta(seconds=60)


class ProtectedListUnreadable(RevokerError):
    """The list cannot be read now, so no user may be revoked."""


class ProtectedUsers:
    """``PROTECTED_USERS`` and the transitive members of ``PROTECTED_GROUP``, read again every minute."""

    def __init__(self, *, users: Iterable[UserRef], group: str | None, graph: Graph, clock: Clock) -> None:
        self._named = frozenset(user.key for user in users)
        self._group = group
        self._graph = graph
        self._clock = clock
        self._keys = self._named
        self._reading: asyncio.Task[None] | None = None
        self._read_at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the settings protect no user."""
        return not self._named and self._group is None

    async def keys(self) -> frozenset[str]:
        """Object ids and UPNs in lower case; ``ProtectedListUnreadable`` when the group does not answer."""
        now = self._clock.now()
        # A reading that seems to lie ahead is from before the clock was set back.
        if self._group and (self._read_at is None or not now - _FRESH <= self._read_at <= now):
            # Several calls may be about to leave: they wait for one reading and share its result.
            self._reading = self._reading or asyncio.create_task(self._read_again(self._group))
            await asyncio.shield(self._reading)
        return self._keys

    async def among(self, rows: Sequence[UserRow]) -> list[UserRow]:
        """Those of some planned users that are protected by now; ``ProtectedListUnreadable`` when that is unknown."""
        if self.is_empty:
            return []
        keys = await self.keys_for([row.target for row in rows if not row.is_looked_up], readable=False)
        return [row for row in rows if row.keys & keys]

    async def keys_for(self, users: Sequence[UserRef], *, readable: bool) -> frozenset[str]:
        """The keys to compare some users with; ``ProtectedListUnreadable`` when they cannot be compared.

        Where users cannot be read, an id and a UPN cannot be found to be the same person: a user is only compared with
        entries of its own form, and where there are entries of the other form, the list counts as unreadable.
        """
        if self.is_empty:
            return frozenset()
        keys = await self.keys()
        unlisted = set() if readable else {user.is_id for user in users if user.key not in keys}
        # An id beside a listed UPN, or a UPN beside a listed id.
        if unlisted and any(("@" in key) in unlisted for key in keys):
            raise ProtectedListUnreadable("The app may not read users, so it cannot compare ids with UPNs.")
        return keys

    async def _read_again(self, group: str) -> None:
        try:
            self._keys = self._named | await self._read_group(group)
            self._read_at = self._clock.now()
        finally:
            self._reading = None

    async def _read_group(self, group: str) -> frozenset[str]:
        members: set[str] = set()
        try:
            async for page in self._graph.group_members(group):
                values = page.body.get("value") if page.is_success and page.body else None
                if not isinstance(values, list):
                    logs.event("protected_list_unreadable", status=page.status)
                    raise ProtectedListUnreadable(f"Reading the protected group was answered with {page.status}.")
                members |= _ids(values)
        except TokenUnavailable as problem:
            raise ProtectedListUnreadable("There is no token to read the protected group with.") from problem
        return frozenset(members)


def _ids(entries: list[Any]) -> set[str]:
    """The members of a page; ``ProtectedListUnreadable`` for one without an id, which would not be protected."""
    found: set[str] = set()
    for entry in entries:
        identity = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(identity, str) and is_object_id(identity):
            found.add(identity.lower())
        elif not isinstance(entry, dict) or may_be_user(entry):
            logs.event("protected_list_unreadable", status=200)
            raise ProtectedListUnreadable("A member of the protected group has no object id.")
    return found
