"""From what was asked to who is hit: look users up, fold duplicates, set aside who is not to be revoked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from revoke_core.domain import problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import is_object_id
from revoke_core.domain.moments import parsed_or_none
from revoke_core.domain.permissions import READ_USERS, REVOKE
from revoke_core.domain.results import Counts, Problem, UserRow, UserStatus
from revoke_core.domain.verdicts import Answer, Effect, of_read
from revoke_core.service.protection import ProtectedListUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.ports import Gates, Graph
    from revoke_core.service.protection import ProtectedUsers

UNPROVEN_BY_CHOICE = "verify is false: the effect was not read back, revoked is Graph's word alone."
UNPROVEN_BY_PERMISSION = (
    "The app may not read users (User.Read.All is missing): ids and UPNs went to Graph as they are, "
    "and revoked is Graph's word alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What Graph knows of the users named. ``obstacle`` says why it could not be asked now, with the wait asked for."""

    readable: bool = True
    token: TokenFacts | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    obstacle: Problem | None = None
    pause: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rows of a request, every one of them pending or with its last word."""

    rows: list[UserRow]
    counts: Counts
    excluded: int
    proving: bool
    warnings: tuple[str, ...]


class Planner:
    """Looks users up and turns them into rows."""

    def __init__(self, *, graph: Graph, gates: Gates, protected: ProtectedUsers) -> None:
        self._graph = graph
        self._gates = gates
        self._protected = protected

    async def lookup(self, request: RevocationRequest) -> Lookup:
        """Ask Graph who the named users are; nothing is changed anywhere, so it may run before acceptance."""
        # The write gate is looked at along with it, so that the answer is at hand when the first call is to leave.
        closed, _ = await asyncio.gather(self._gates.closed_until("read"), self._gates.closed_until("write"))
        if closed:
            return Lookup(obstacle=problems.THROTTLED)
        users = unique(request.users)
        try:
            token = await self._graph.token()
            if not token.may(READ_USERS):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
            if not token.may(READ_USERS):
                return Lookup(readable=False, token=token)
            answers = await self._graph.read_users(users)
        except TokenUnavailable:
            return Lookup(obstacle=problems.NO_TOKEN)
        verdicts = [of_read(answer) for answer in answers]
        waiting = [verdict for verdict in verdicts if verdict.effect is Effect.AGAIN]
        if waiting:
            pauses = [verdict.pause for verdict in waiting if verdict.pause]
            return Lookup(obstacle=waiting[0].problem, pause=max(pauses, default=None))
        if any(verdict.effect is Effect.FINAL and verdict.problem is None for verdict in verdicts):
            return Lookup(readable=False, token=await self._graph.token())
        return Lookup(answers={user.key: answer for user, answer in zip(users, answers, strict=True)})

    async def protected_keys(self, request: RevocationRequest, *, readable: bool) -> frozenset[str]:
        """Who must not be sent to Graph; ``ProtectedListUnreadable`` when that cannot be told."""
        if self._protected.is_empty:
            return frozenset()
        if readable:
            return await self._protected.keys()
        return await self._protected.keys_without_lookup(request.users)

    async def check_protected(self) -> None:
        """Before acceptance: whether the list can be read at all."""
        if not self._protected.is_empty:
            await self._protected.keys()

    async def plan(self, request: RevocationRequest, lookup: Lookup) -> Plan | Lookup:
        """The rows, or the lookup back with the obstacle that keeps them from being made."""
        if lookup.obstacle:
            return lookup
        try:
            protected = await self.protected_keys(request, readable=lookup.readable)
        except ProtectedListUnreadable:
            if lookup.token is None or lookup.token.may(REVOKE):
                return replace(lookup, obstacle=problems.PROTECTED_UNREADABLE)
            # Nobody can be revoked anyway; the permission is what somebody has to see to first.
            return planned(request, lookup, frozenset(), refusal=problems.app_permission_missing(lookup.token))
        return planned(request, lookup, protected)


def planned(
    request: RevocationRequest, lookup: Lookup, protected: frozenset[str], *, refusal: Problem | None = None
) -> Plan:
    """Fold by object id, then set aside: excluded by the caller, protected, invited from elsewhere.

    ``refusal`` is why nobody at all can be revoked.
    """
    excluded = frozenset(user.key for user in request.exclude)
    rows: dict[str, UserRow] = {}
    invited: set[str] = set()
    for user in unique(request.users):
        row, is_invited = _known(user, lookup)
        identity = row.user_id or user.key
        if identity in rows:
            continue
        rows[identity] = replace(row, position=len(rows) + 1)
        if is_invited:
            invited.add(identity)
    for identity, row in rows.items():
        names = {row.given.strip().lower(), row.user_id or "", (row.user_principal_name or "").lower()} - {""}
        rows[identity] = _set_aside(
            row, excluded=bool(names & excluded), protected=bool(names & protected), invited=identity in invited
        )
        if rows[identity].status is UserStatus.PENDING and (refusal or request.dry_run):
            rows[identity] = row.ended(UserStatus.FAILED if refusal else UserStatus.PLANNED, refusal)
    made = list(rows.values())
    warnings: tuple[str, ...] = ()
    if not lookup.readable:
        warnings = (UNPROVEN_BY_PERMISSION,)
    elif not request.verify:
        warnings = (UNPROVEN_BY_CHOICE,)
    return Plan(
        rows=made,
        counts=Counts(duplicates=len(request.users) - len(made)).with_new(made),
        excluded=sum(row.problem is problems.EXCLUDED for row in made),
        proving=request.verify and lookup.readable,
        warnings=warnings,
    )


def unplanned(request: RevocationRequest) -> list[UserRow]:
    """The rows as far as they are known without asking anybody."""
    return [UserRow(position=place, given=user.given) for place, user in enumerate(unique(request.users), start=1)]


def unique(users: Iterable[UserRef]) -> list[UserRef]:
    """The users without textual repetitions, in the order first named."""
    first: dict[str, UserRef] = {}
    for user in users:
        first.setdefault(user.key, user)
    return list(first.values())


def _known(user: UserRef, lookup: Lookup) -> tuple[UserRow, bool]:
    row = UserRow(position=0, given=user.given, user_id=user.text if user.is_id else None)
    answer = lookup.answers.get(user.key)
    if answer is None:
        return replace(row, user_principal_name=None if user.is_id else user.text), user.is_invited
    verdict = of_read(answer)
    if verdict.effect is not Effect.ACCEPTED:
        return row.ended(UserStatus.FAILED, verdict.problem), False
    found: dict[str, Any] = answer.body or {}
    object_id = str(found["id"]).lower()
    if not is_object_id(object_id):
        return row.ended(UserStatus.FAILED, problems.GRAPH_REFUSED), False
    name = found.get("userPrincipalName")
    valid_from = found.get("signInSessionsValidFromDateTime")
    row = replace(
        row,
        user_id=object_id,
        user_principal_name=name if isinstance(name, str) else None,
        valid_from_before=parsed_or_none(valid_from) if isinstance(valid_from, str) else None,
    )
    return row, _is_invited(found)


def _is_invited(found: dict[str, Any]) -> bool:
    """External means invited: ``userType`` says what a user may see here, not where it signs in."""
    return bool(
        found.get("externalUserState")
        or found.get("creationType") == "Invitation"
        or "#ext#" in str(found.get("userPrincipalName") or "").lower()
    )


def _set_aside(row: UserRow, *, excluded: bool, protected: bool, invited: bool) -> UserRow:
    if row.status is not UserStatus.PENDING:
        return row
    reasons = ((excluded, problems.EXCLUDED), (protected, problems.PROTECTED), (invited, problems.EXTERNAL_USER))
    return next((row.ended(UserStatus.SKIPPED, problem) for applies, problem in reasons if applies), row)
