"""Looking users up, named or found: who is a duplicate, who is skipped (excluded, protected, external), who waits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import permission_problems, problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import is_object_id
from revoke_core.domain.permissions import READ_USERS, REVOKE
from revoke_core.domain.responses import Answer, Effect, Verdict, cut_off_of, is_own_matter, judge_read
from revoke_core.domain.sign_in_home import SignInHome, sign_in_home
from revoke_core.domain.user_state import UserRow, UserStatus, set_aside
from revoke_core.service.engine.holders import find_holders
from revoke_core.service.engine.names import LARGEST_READ, NamesFound, find_names, read_in_batches
from revoke_core.service.engine.protection import ProtectedListUnreadable, Protection
from revoke_core.service.engine.request_warnings import MAY_BE_EXTERNAL, exclusion_warnings

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

# A page is looked up so often before those of its users about whom there is no answer are left for later.
_TRIES: Final = 3
_ANY_USER: Final = "accountEnabled eq true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Graph's answers about some users. ``obstacle`` says why not all could be asked now, ``pause`` for how long.

    ``unresolved`` are the names of payloads that nobody has, or several; keys as in ``answers``.
    ``tries`` counts look-ups in a row that brought nothing about some users although nothing kept them from being made.
    """

    readable: bool = True
    token: TokenFacts | None = None
    answers: dict[str, Answer] = field(default_factory=dict)
    unresolved: dict[str, Problem] = field(default_factory=dict)
    obstacle: Problem | None = None
    pause: timedelta | None = None
    tries: int = 0

    @property
    def blocks_page(self) -> bool:
        """Whether the whole page has to be looked up again, rather than a few of its users by themselves."""
        return self.obstacle is not None and self.tries < _TRIES

    def lacks(self, user: UserRef) -> bool:
        """Whether Graph was asked about a user and had no answer."""
        return self.readable and not self.knows(user)

    def knows(self, user: UserRef) -> bool:
        """Whether nothing is left to ask Graph about a user."""
        is_nobody = user.entity is not None and not user.entity.is_searchable
        return is_nobody or user.key in self.answers or user.key in self.unresolved


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

    @property
    def excluded(self) -> frozenset[str]:
        """Ids and UPNs in lower case, those that the excluded names were found to mean among them."""
        named = {user.key for user in self.request.exclude}
        return frozenset(named | {*filter(None, self.exclusion.matches.values())})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What turns answers about users into rows; the keys are ids and UPNs in lower case.

    ``unclear`` are the forms (object id or not) of excluded users where ids and UPNs cannot be compared, ``refusal`` is
    why no user can be revoked at all, ``notices`` the protected list with what is wrong with it.
    """

    lookup: Lookup
    excluded: frozenset[str]
    protected: frozenset[str]
    unclear: frozenset[bool]
    refusal: Problem | None
    dry_run: bool
    notices: Protection

    def row(self, user: UserRef) -> UserRow:
        """The user's row, which has no position yet."""
        row, is_external = _looked_up(user, self.lookup)
        row = set_aside(row, excluded=self.excluded, protected=self.protected, external=is_external)
        token = self.lookup.token
        if row.status is UserStatus.PENDING and token and self.unclear - {user.is_id}:
            row = row.ended(UserStatus.FAILED, self.refusal or permission_problems.exclusion_unclear(token))
        if row.status is UserStatus.PENDING and self.refusal:
            return row.ended(UserStatus.FAILED, self.refusal)
        is_planned = row.status is UserStatus.PENDING and self.dry_run and not row.awaits_lookup
        return row.ended(UserStatus.PLANNED) if is_planned else row

    def is_doubtful(self, user: UserRef, row: UserRow) -> bool:
        """Whether a user who is to be revoked may sign in elsewhere after all."""
        answer = self.lookup.answers.get(user.key)
        if answer is None or row.status not in (UserStatus.PENDING, UserStatus.PLANNED):
            return False
        return sign_in_home(answer.body or {}) is SignInHome.DOUBTFUL


class UserLookup:
    """Asks Graph who users are and turns them into rows."""

    def __init__(self, *, graph: Graph, protected: ProtectedUsers) -> None:
        self._graph = graph
        self._protected = protected
        # The token that has read a user: a 403 under it is about one user, not about a permission.
        self._has_read: str | None = None

    async def look_up(self, users: Sequence[UserRef], known: Lookup | None = None, *, singly: bool = False) -> Lookup:
        """Ask Graph who the users are; nothing is changed anywhere, so it may run before acceptance.

        ``known`` is an earlier try: only users it has no answer for are asked again. ``singly`` makes one call for each
        user, so that one whose read breaks its call takes no other along.
        """
        earlier = known or Lookup()
        missing = [user for user in unique(users) if not earlier.knows(user)]
        if (known and not known.obstacle and not known.readable) or not missing:
            return replace(earlier, obstacle=None, pause=None)
        try:
            token = await self._graph.token()
            if not token.may(READ_USERS):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
            if not token.may(READ_USERS):
                return Lookup(readable=False, token=token)
            pairs, unresolved = await self._asked(missing, singly=singly)
            found = [answer for _, answer in pairs]
            # Graph may have refused that token as such and been given another one.
            token = await self._graph.token()
            if any(answer.is_success for answer in found):
                self._has_read = token.fingerprint
            is_refused = any(answer.is_forbidden for answer in found)
            if is_refused and (may_read := await self._may_read_users(token)) is not True:
                return replace(earlier, obstacle=may_read) if may_read else Lookup(readable=False, token=token)
        except TokenUnavailable:
            return replace(earlier, obstacle=problems.NO_TOKEN)
        return _with_answers(pairs, replace(earlier, unresolved=earlier.unresolved | unresolved))

    async def _asked(
        self, users: Sequence[UserRef], *, singly: bool
    ) -> tuple[list[tuple[UserRef, Answer]], dict[str, Problem]]:
        """Graph's answers about users, and what is wrong with names that do not come down to one user, by key."""
        named = [user for user in users if not user.entity]
        found = await read_in_batches(self._graph, named, 1 if singly else LARGEST_READ) if named else []
        pairs = list(zip(named, found, strict=True))
        unresolved: dict[str, Problem] = {}
        searched = [(user, user.entity) for user in users if user.entity]
        holders = await find_holders(self._graph, [entity for _, entity in searched], singly=singly)
        for (user, entity), held in zip(searched, holders, strict=True):
            if held.answer:
                pairs.append((user, held.answer))
            else:
                problem = problems.unresolved_entity(entity, holders=len(held.users), refused=held.refused)
                unresolved[user.key] = problem
        return pairs, unresolved

    async def _may_read_users(self, token: TokenFacts) -> bool | Problem:
        """After a 403: whether it is about one user, or about every user; a problem when that cannot be told now.

        A token that carries the permission or has read a user tells; a lone refusal under one that nothing is known of
        is not enough to give up reading, and so proof, for the whole request: Graph is asked for any user.
        """
        if not token.may(READ_USERS):
            return False
        if token.fingerprint == self._has_read:
            return True
        if token.roles is None:
            return False
        answer = await self._graph.probe_filter(_ANY_USER)
        if answer.is_success:
            return True
        return False if answer.is_forbidden else judge_read(answer).problem or problems.GRAPH_UNAVAILABLE

    async def find_excluded(self, request: RevocationRequest, known: NamesFound | None) -> NamesFound:
        """Whom the request excludes; ``known`` is an earlier try."""
        return await find_names(self._graph, request.exclude, known)

    async def plan_rows(
        self, planned: PlannedUsers, lookup: Lookup, seen: SeenUsers, *, first: int
    ) -> PlannedPage | Lookup:
        """Rows from position ``first`` on, or the lookup with the obstacle that keeps them from being made.

        ``seen`` has the users of earlier pages; these users are added to it. Users about whom Graph has had no answer
        for some tries are deferred: their rows await their look-up, and the others need not wait for them.
        """
        exclusion = planned.exclusion
        if lookup.blocks_page:
            return lookup
        if exclusion.obstacle and exclusion.tries < _TRIES and exclusion.lacking(planned.request.exclude):
            return replace(lookup, obstacle=exclusion.obstacle, pause=exclusion.pause)
        judgement = await self.judgement(planned, lookup)
        if judgement is None:
            return replace(lookup, obstacle=problems.PROTECTED_UNREADABLE)
        rows: list[UserRow] = []
        some_doubtful = False
        for user in planned.users:
            row = judgement.row(user)
            if seen.add(row.identity):
                rows.append(replace(row, position=first + len(rows)))
                some_doubtful = some_doubtful or judgement.is_doubtful(user, row)
        unmatched = exclusion.unmatched(planned.request.exclude)
        unknown = exclusion.lacking(planned.request.exclude) if exclusion.obstacle else []
        excluding = exclusion_warnings(unmatched=unmatched, unknown=unknown)
        doubt = (MAY_BE_EXTERNAL,) if some_doubtful else ()
        return PlannedPage(
            rows=rows,
            excluded=sum(row.problem is problems.EXCLUDED for row in rows),
            readable=lookup.readable,
            warnings=(*judgement.notices.warnings, *excluding, *doubt),
            has_unmatched=bool(judgement.notices.unmatched or unmatched or unknown),
        )

    async def judgement(self, planned: PlannedUsers, lookup: Lookup) -> Judgement | None:
        """What these users' rows follow from; ``None`` while nobody can tell who is protected."""
        request, users = planned.request, planned.users
        refusal = None
        notices = Protection()
        try:
            # Who is searched for is not sent where the app may not read users, and need not be compared.
            compared = users if lookup.readable else [user for user in users if not user.entity]
            protected = await self._protected.keys_for(compared, readable=lookup.readable)
            notices = await self._protected.look()
        except ProtectedListUnreadable:
            if lookup.token is None or lookup.token.may(REVOKE):
                return None
            # No user can be revoked anyway; the missing permission comes first.
            protected, refusal = frozenset(), permission_problems.app_permission_missing(lookup.token)
        unclear = _forms(user.key for user in request.exclude) if not lookup.readable and lookup.token else frozenset()
        return Judgement(
            lookup=lookup,
            excluded=planned.excluded,
            protected=protected,
            unclear=unclear,
            refusal=refusal,
            dry_run=request.dry_run,
            notices=notices,
        )

    async def may_be_sent_unseen(self, planned: PlannedUsers, user: UserRef) -> bool:
        """Whether a user of whom nothing but the object id is known is certainly neither protected nor excluded."""
        request = planned.request
        if request.dry_run or not user.is_id or user.key in planned.excluded:
            return False
        if planned.exclusion.lacking(request.exclude):
            return False
        try:
            return user.key not in await self._protected.keys_for([user], readable=False)
        except ProtectedListUnreadable:
            return False


def _with_answers(pairs: Sequence[tuple[UserRef, Answer]], earlier: Lookup) -> Lookup:
    """The answers of this try, added to those of earlier ones."""
    answers, own = dict(earlier.answers), True
    waiting: list[Verdict] = []
    for user, answer in pairs:
        verdict = judge_read(answer)
        if verdict.effect is not Effect.RETRY:
            answers[user.key] = answer
            continue
        waiting.append(verdict)
        own = own and is_own_matter(answer)
    pause = max((verdict.pause for verdict in waiting if verdict.pause), default=None)
    tries = earlier.tries + (bool(waiting) and own)
    obstacle = waiting[0].problem if waiting else None
    return replace(earlier, answers=answers, obstacle=obstacle, pause=pause, tries=tries)


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
    return UserRow(position=0, given=user.given, user_id=user.text if user.is_id else None, entity=user.entity)


def _looked_up(user: UserRef, lookup: Lookup) -> tuple[UserRow, bool]:
    """The row, and whether the account signs in elsewhere."""
    row = _as_named(user)
    if problem := _not_searched(user, lookup) or lookup.unresolved.get(user.key):
        return row.ended(UserStatus.FAILED, problem), False
    if lookup.lacks(user):
        return replace(row, failed_lookups=max(lookup.tries, 1)), False
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
    return row, sign_in_home(found) is SignInHome.ELSEWHERE


def _not_searched(user: UserRef, lookup: Lookup) -> Problem | None:
    """Why a user whom a payload names was not searched for."""
    if user.entity and not user.entity.is_searchable:
        return problems.unresolved_entity(user.entity)
    if user.entity and not lookup.readable and lookup.token:
        return permission_problems.entity_not_searchable(user.entity, lookup.token)
    return None


def _forms(keys: Iterable[str]) -> frozenset[bool]:
    """Whether there are ids among the names (``True``) and UPNs (``False``)."""
    return frozenset("@" not in key for key in keys)
