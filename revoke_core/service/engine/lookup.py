"""Looking named users up: fold duplicates, and set aside those that are not to be revoked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import permission_problems, problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import is_object_id, listed
from revoke_core.domain.permissions import READ_USERS, REVOKE
from revoke_core.domain.responses import Answer, Effect, cut_off_of, judge_read
from revoke_core.domain.user_state import UserRow, UserStatus, set_aside
from revoke_core.service.engine.names import NamesFound, find_names, read_in_batches
from revoke_core.service.engine.protection import ProtectedListUnreadable, Protection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.domain.problems import Problem
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.seen_users import SeenUsers
    from revoke_core.ports.graph import Graph
    from revoke_core.service.engine.protection import ProtectedUsers

UNPROVEN_BY_CHOICE: Final = "verify is false: the effect was not read back, revoked is Graph's word alone."
UNPROVEN_BY_PERMISSION: Final = (
    "The app may not read users (User.Read.All is missing): ids and UPNs went to Graph as they are, "
    "and revoked is Graph's word alone."
)
PROOF_WARNINGS: Final = (UNPROVEN_BY_CHOICE, UNPROVEN_BY_PERMISSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Graph's answers about some users. ``obstacle`` says why not all could be asked now, ``pause`` for how long."""

    readable: bool = True
    token: TokenFacts | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    obstacle: Problem | None = None
    pause: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPage:
    """Rows for users named for the first time, each pending or final.

    ``warnings`` is what is wrong with the protected list and with ``exclude``; ``has_unmatched`` that an entry of them
    matches nobody.
    """

    rows: list[UserRow]
    excluded: int
    readable: bool
    warnings: tuple[str, ...] = ()
    has_unmatched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedUsers:
    """A page of the users a request means, and whom it excludes."""

    request: RevocationRequest
    users: Sequence[UserRef]
    exclusion: NamesFound


class UserLookup:
    """Asks Graph who users are and turns them into rows."""

    def __init__(self, *, graph: Graph, protected: ProtectedUsers) -> None:
        self._graph = graph
        self._protected = protected
        # The token that has read a user: a 403 under it is about one user, not about a permission.
        self._has_read: str | None = None

    async def look_up(self, users: Sequence[UserRef], known: Lookup | None = None) -> Lookup:
        """Ask Graph who the users are; nothing is changed anywhere, so it may run before acceptance.

        ``known`` is an earlier try: only users it has no answer for are asked again.
        """
        answers = dict(known.answers) if known else {}
        missing = [user for user in unique(users) if user.key not in answers]
        if known and not known.obstacle and (not missing or not known.readable):
            return known
        try:
            token = await self._graph.token()
            if not token.may(READ_USERS):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
            if not token.may(READ_USERS):
                return Lookup(readable=False, token=token)
            found = await read_in_batches(self._graph, missing)
            # Graph may have refused that token as such and been given another one.
            token = await self._graph.token()
        except TokenUnavailable:
            return Lookup(obstacle=problems.NO_TOKEN, answers=answers)
        if any(answer.is_success for answer in found):
            self._has_read = token.fingerprint
        is_proven = token.may(READ_USERS) and token.fingerprint == self._has_read
        if any(answer.is_forbidden for answer in found) and not is_proven:
            return Lookup(readable=False, token=token)
        return _with_answers(missing, found, answers)

    async def check_protected(self) -> None:
        """Before acceptance: whether there is a protected list to go by."""
        await self._protected.current()

    async def find_excluded(self, request: RevocationRequest, known: NamesFound | None) -> NamesFound:
        """Whom the request excludes; ``known`` is an earlier try."""
        return await find_names(self._graph, request.exclude, known)

    async def plan_rows(
        self, planned: PlannedUsers, lookup: Lookup, seen: SeenUsers, *, first: int
    ) -> PlannedPage | Lookup:
        """Rows from position ``first`` on, or the lookup with the obstacle that keeps them from being made.

        ``seen`` has the users of earlier pages; these users are added to it.
        """
        request, users, exclusion = planned.request, planned.users, planned.exclusion
        if lookup.obstacle:
            return lookup
        if exclusion.obstacle:
            return replace(lookup, obstacle=exclusion.obstacle, pause=exclusion.pause)
        refusal = None
        notices = Protection()
        try:
            protected = await self._protected.keys_for(users, readable=lookup.readable)
            notices = await self._protected.look()
        except ProtectedListUnreadable:
            if lookup.token is None or lookup.token.may(REVOKE):
                return replace(lookup, obstacle=problems.PROTECTED_UNREADABLE)
            # No user can be revoked anyway; the missing permission comes first.
            protected, refusal = frozenset(), permission_problems.app_permission_missing(lookup.token)
        excluded = frozenset({user.key for user in request.exclude} | {*filter(None, exclusion.matches.values())})
        unclear = _forms(user.key for user in request.exclude) if not lookup.readable and lookup.token else frozenset()
        rows: list[UserRow] = []
        for user in users:
            row, is_external = _looked_up(user, lookup)
            if not seen.add(row.user_id or user.key):
                continue
            row = set_aside(row, excluded=excluded, protected=protected, external=is_external)
            if row.status is UserStatus.PENDING and lookup.token and unclear - {user.is_id}:
                row = row.ended(UserStatus.FAILED, refusal or permission_problems.exclusion_unclear(lookup.token))
            if row.status is UserStatus.PENDING and (refusal or request.dry_run):
                row = row.ended(UserStatus.FAILED if refusal else UserStatus.PLANNED, refusal)
            rows.append(replace(row, position=first + len(rows)))
        unmatched = [user.given.strip() for user in exclusion.unmatched(request.exclude)]
        return PlannedPage(
            rows=rows,
            excluded=sum(row.problem is problems.EXCLUDED for row in rows),
            readable=lookup.readable,
            warnings=(*notices.warnings, *_unmatched_warning(unmatched)),
            has_unmatched=bool(notices.unmatched or unmatched),
        )


def _with_answers(users: Sequence[UserRef], found: Sequence[Answer], answers: dict[str, Answer]) -> Lookup:
    """The answers of this try, added to those of earlier ones."""
    verdicts = [judge_read(answer) for answer in found]
    for user, answer, verdict in zip(users, found, verdicts, strict=True):
        if verdict.effect is not Effect.RETRY:
            answers[user.key] = answer
    waiting = [verdict for verdict in verdicts if verdict.effect is Effect.RETRY]
    pause = max((verdict.pause for verdict in waiting if verdict.pause), default=None)
    return Lookup(answers=answers, obstacle=waiting[0].problem if waiting else None, pause=pause)


def _unmatched_warning(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (
        (
            f"exclude: {listed(names)} matches no user, or more than one by mail address, and excludes nobody. "
            "An object id is best."
        ),
    )


def warnings_for(request: RevocationRequest, *, readable: bool) -> tuple[str, ...]:
    """Why ``revoked`` is not proven, if it is not."""
    if not readable:
        return (UNPROVEN_BY_PERMISSION,)
    return () if request.verify else (UNPROVEN_BY_CHOICE,)


def unplanned(users: Iterable[UserRef], *, first: int = 1) -> list[UserRow]:
    """The rows as far as they are known without a look-up, from position ``first`` on."""
    return [replace(_as_named(user), position=place) for place, user in enumerate(unique(users), start=first)]


def unique(users: Iterable[UserRef]) -> list[UserRef]:
    """The users without textual repetitions, in the order first named."""
    first: dict[str, UserRef] = {}
    for user in users:
        first.setdefault(user.key, user)
    return list(first.values())


def _as_named(user: UserRef) -> UserRow:
    return UserRow(position=0, given=user.given, user_id=user.text if user.is_id else None)


def _looked_up(user: UserRef, lookup: Lookup) -> tuple[UserRow, bool]:
    """The row, and whether the account signs in elsewhere."""
    row = _as_named(user)
    answer = lookup.answers.get(user.key)
    if answer is None:
        return replace(row, user_principal_name=None if user.is_id else user.text), user.is_invited
    verdict = judge_read(answer)
    if verdict.effect is not Effect.ACCEPTED:
        row = replace(row, graph_request_id=answer.request_id)
        return row.ended(UserStatus.FAILED, verdict.problem or problems.GRAPH_REFUSED), False
    found: dict[str, Any] = answer.body or {}
    object_id = str(found["id"]).lower()
    if not is_object_id(object_id):
        return row.ended(UserStatus.FAILED, problems.GRAPH_REFUSED), False
    name = found.get("userPrincipalName")
    row = replace(
        row,
        user_id=object_id,
        user_principal_name=name if isinstance(name, str) else None,
        valid_from_before=cut_off_of(answer),
    )
    return row, _is_invited(found)


def _forms(keys: Iterable[str]) -> frozenset[bool]:
    """Whether there are ids among the names (``True``) and UPNs (``False``)."""
    return frozenset("@" not in key for key in keys)


def _is_invited(found: dict[str, Any]) -> bool:
    """External means invited: ``userType`` says what a user may see here, not where it signs in."""
    return bool(
        found.get("externalUserState")
        or found.get("creationType") == "Invitation"
        or "#ext#" in str(found.get("userPrincipalName") or "").lower()
    )
