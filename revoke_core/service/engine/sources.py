"""The users a request means, page by page: named ones, then groups, a filter, another request's failed users."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain import permission_problems, problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import UserRef, is_object_id, parse_stored_user
from revoke_core.domain.responses import (
    Answer,
    Effect,
    graph_error,
    is_dead_link,
    judge_listing,
    needs_advanced_query,
    next_link,
)
from revoke_core.domain.user_state import UserStatus
from revoke_core.service.engine.cursor import Cursor

if TYPE_CHECKING:
    from datetime import timedelta

    from revoke_core.domain.problems import Problem
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.status_log import StatusLog

PAGE_USERS: Final = 999
_ORDER: Final = ("named", "groups", "filter", "retry")
_USER_TYPE: Final = "microsoft.graph.user"
_GROUP_TYPE: Final = "microsoft.graph.group"
_HIDDEN: Final = "HiddenMembership"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePage:
    """Some of the users a request means (at most 999), in order; any of them may have come before.

    ``checkpoint`` is where to go on (at most 30,000 characters), ``None`` after the last page. With an ``obstacle``
    nothing was consumed: the checkpoint is tried again once ``pause`` has passed, or a pause that has grown by
    ``failures``. A ``refusal`` ends the whole request. ``is_repeated`` says that the page was read before its list had
    to begin again.
    """

    users: list[UserRef]
    checkpoint: str | None
    obstacle: Problem | None = None
    pause: timedelta | None = None
    failures: int = 0
    refusal: Problem | None = None
    is_repeated: bool = False


class Sources:
    """Reads sources one page at a time. Nothing is kept between two calls: the checkpoint says it all.

    The caller checks the read gate before each page.
    """

    def __init__(self, *, log: StatusLog, graph: Graph) -> None:
        self._log = log
        self._graph = graph

    async def page(
        self, request_id: str, request: RevocationRequest, checkpoint: str | None, *, most: int = PAGE_USERS
    ) -> SourcePage:
        """The page at the checkpoint, or the first one; ``Unavailable`` when storage does not answer.

        ``most`` shortens a page of named users; a group's and a filter's pages come as long as Graph makes them.
        """
        cursor = _cursor_at(request, checkpoint)
        if cursor is None:
            return SourcePage(users=[], checkpoint=None)
        if cursor.source == "named":
            return await self._named(request_id, request, cursor, most)
        if cursor.source == "retry":
            return await self._failed(request, cursor)
        return await self._listed(request, cursor)

    @staticmethod
    def are_found(request: RevocationRequest, checkpoint: str | None) -> bool:
        """Whether the users at the checkpoint have yet to be asked for, and were not named by the request."""
        cursor = _cursor_at(request, checkpoint)
        return cursor is not None and cursor.source in ("groups", "filter")

    async def check_filter(self, text: str) -> Problem | None:
        """Whether Graph refuses the filter for certain; while Graph cannot be asked, nothing is known against it."""
        try:
            answer = await self._graph.probe_filter(text)
            if needs_advanced_query(answer):
                answer = await self._graph.probe_filter(text, advanced=True)
        except TokenUnavailable:
            return None
        error = graph_error(answer)
        return problems.invalid_filter(error[1]) if answer.status == HTTPStatus.BAD_REQUEST and error else None

    async def _named(self, request_id: str, request: RevocationRequest, cursor: Cursor, most: int) -> SourcePage:
        if request.users:
            users = list(request.users[cursor.at : cursor.at + most])
        else:
            part, offset = _part_of(request, cursor.at)
            stored = await self._log.get_named_users(request_id, part)
            users = list(stored[offset : offset + most]) if stored else []
            if not users:
                logs.event("inputs_lost", requestId=request_id, part=part)
                return _refused(problems.INPUTS_LOST)
        at = cursor.at + len(users)
        return _read(users, replace(cursor, at=at) if at < request.named else _after(request, cursor))

    async def _failed(self, request: RevocationRequest, cursor: Cursor) -> SourcePage:
        """The users of the earlier request that failed, by object id where it is known, else as they were named."""
        page = await self._log.list_users(
            request.retry_of or "", status=UserStatus.FAILED, size=PAGE_USERS, token=cursor.link
        )
        users = [user for user in map(_failed_user, page.items) if user]
        return _read(users, replace(cursor, link=page.token) if page.token else _after(request, cursor))

    async def _listed(self, request: RevocationRequest, cursor: Cursor) -> SourcePage:
        try:
            answer = await self._asked(request, cursor)
            if (
                cursor.source == "filter"
                and cursor.link is None
                and not cursor.advanced
                and needs_advanced_query(answer)
            ):
                cursor = replace(cursor, advanced=True)
                answer = await self._asked(request, cursor)
            if answer.is_forbidden:
                # The permission may be newer than the token.
                await self._graph.token_missed_roles()
                answer = await self._asked(request, cursor)
            if answer.is_forbidden:
                token = await self._graph.token()
                if cursor.source == "groups":
                    return _refused(permission_problems.group_not_readable(request.groups[cursor.at], token))
                return _refused(permission_problems.users_not_readable(token))
        except TokenUnavailable:
            return _blocked(cursor, problems.NO_TOKEN)
        return _judged(request, cursor, answer)

    async def _asked(self, request: RevocationRequest, cursor: Cursor) -> Answer:
        """One page of the group or filter at the cursor."""
        if cursor.source == "groups":
            group = request.groups[cursor.at]
            pages = self._graph.group_members(group, transitive=request.transitive, link=cursor.link)
        else:
            pages = self._graph.users_matching(request.filter or "", link=cursor.link, advanced=cursor.advanced)
        async with aclosing(pages):
            return await anext(pages)


def _judged(request: RevocationRequest, cursor: Cursor, answer: Answer) -> SourcePage:
    """What a page of a list comes down to, refusals for want of a permission apart."""
    is_group = cursor.source == "groups"
    what = f"the members of group {request.groups[cursor.at]}" if is_group else "the users that filter matches"
    refused = problems.list_refused(what, answer.status)
    if cursor.link is not None and is_dead_link(answer):
        # The list itself was answered before: its page token has expired, most likely.
        logs.event("listing_restarted", source=cursor.source, page=cursor.page)
        restarted = cursor.restarted()
        if not restarted.is_stuck:
            return _read([], restarted)
        return replace(_blocked(restarted, problems.GRAPH_UNAVAILABLE), failures=restarted.restarts)
    verdict = judge_listing(
        answer, unknown=problems.group_not_found(request.groups[cursor.at]) if is_group else refused
    )
    if verdict.effect is Effect.RETRY:
        return _blocked(cursor, verdict.problem, verdict.pause)
    if verdict.effect is Effect.ACCEPTED:
        return _accepted(request, cursor, answer)
    error = graph_error(answer)
    if answer.status == HTTPStatus.BAD_REQUEST and error and not is_group:
        return _refused(problems.invalid_filter(error[1]))
    return _refused(refused if verdict.problem in (None, problems.GRAPH_REFUSED) else verdict.problem)


def _accepted(request: RevocationRequest, cursor: Cursor, answer: Answer) -> SourcePage:
    users = _users_of(answer)
    link = next_link(answer)
    following = _after(request, cursor) if link is None else cursor.followed(link)
    if users is None or (link is not None and following is None):
        logs.event("listing_unusable", source=cursor.source, page=cursor.page)
        return _blocked(cursor, problems.GRAPH_UNAVAILABLE)
    return replace(_read(users, following), is_repeated=cursor.page < cursor.best)


def _users_of(answer: Answer) -> list[UserRef] | None:
    """The users of a page; ``None`` when an entry cannot be read, so that no user is missed in silence.

    Lists of members say of each entry what it is. An entry without a type is taken for a user: one too many ends as
    ``userNotFound``, which a caller sees; one too few would be seen by no one.
    """
    entries: list[Any] = (answer.body or {}).get("value", [])
    users: list[UserRef] = []
    for entry in entries:
        if not isinstance(entry, dict):
            return None
        if not may_be_user(entry):
            continue
        identity = entry.get("id")
        if not isinstance(identity, str) or not is_object_id(identity):
            return None
        users.append(UserRef(given=identity, text=identity.lower(), is_id=True))
    return users


def may_be_user(entry: dict[str, Any]) -> bool:
    """Whether an entry of a list of members is a user, or does not say what it is, however that is spelt."""
    return str(entry.get("@odata.type") or _USER_TYPE).removeprefix("#").lower() == _USER_TYPE


def is_hidden_group(entry: dict[str, Any]) -> bool:
    """Whether an entry of a list of members is a group that hides its own members."""
    is_group = str(entry.get("@odata.type") or "").removeprefix("#").lower() == _GROUP_TYPE
    return is_group and entry.get("visibility") == _HIDDEN


def _failed_user(row: UserRow) -> UserRef | None:
    if row.user_id:
        return UserRef(given=row.given, text=row.user_id, is_id=True)
    return parse_stored_user(row.named)


def _part_of(request: RevocationRequest, at: int) -> tuple[int, int]:
    """In which part the named user at a position stands, and where in it."""
    for part, size in enumerate(request.part_sizes):
        if at < size:
            return part, at
        at -= size
    raise ValueError("a checkpoint lies behind the last named user")


def _cursor_at(request: RevocationRequest, checkpoint: str | None) -> Cursor | None:
    return Cursor.read(checkpoint) if checkpoint else _first_from(request, 0)


def _first_from(request: RevocationRequest, number: int) -> Cursor | None:
    """The start of the first source, from the one with this number on, that has anything to read."""
    given = {"named": request.named, "groups": request.groups, "filter": request.filter, "retry": request.retry_of}
    return next((Cursor(source=source) for source in _ORDER[number:] if given[source]), None)


def _after(request: RevocationRequest, cursor: Cursor) -> Cursor | None:
    if cursor.source == "groups" and cursor.at + 1 < len(request.groups):
        return Cursor(source="groups", at=cursor.at + 1)
    return _first_from(request, _ORDER.index(cursor.source) + 1)


def _read(users: list[UserRef], following: Cursor | None) -> SourcePage:
    return SourcePage(users=users, checkpoint=following.text if following else None)


def _blocked(cursor: Cursor, obstacle: Problem | None, pause: timedelta | None = None) -> SourcePage:
    return SourcePage(users=[], checkpoint=cursor.text, obstacle=obstacle or problems.GRAPH_UNAVAILABLE, pause=pause)


def _refused(refusal: Problem | None) -> SourcePage:
    return SourcePage(users=[], checkpoint=None, refusal=refusal)
