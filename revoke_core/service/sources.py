"""Who a request means, page by page: named users, then groups, then a filter, then another request's failed users."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain import permission_problems, problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import UserRef, is_object_id, parse_user
from revoke_core.domain.results import UserStatus
from revoke_core.domain.verdicts import Answer, Effect, graph_error, next_link, of_listing
from revoke_core.service.places import Place

if TYPE_CHECKING:
    from datetime import timedelta

    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.results import Problem, UserRow
    from revoke_core.graph_port import Graph
    from revoke_core.ports import StatusLog

PAGE_USERS: Final = 999
_ORDER: Final = ("named", "groups", "filter", "retry")
_USER_TYPE: Final = "microsoft.graph.user"
_FORBIDDEN: Final = 403
_BAD_REQUEST: Final = 400
_ADVANCED_NEEDED: Final = "Request_UnsupportedQuery"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePage:
    """Some of the users a request means (at most 999), in order; any of them may have come before.

    ``checkpoint`` is where to go on (at most 30,000 characters), ``None`` after the last page. With an ``obstacle``
    nothing was consumed: the checkpoint is tried again once ``pause`` has passed. A ``refusal`` ends the whole request.
    ``is_repeated`` says that the page was read before its list had to begin again.
    """

    users: list[UserRef]
    checkpoint: str | None
    obstacle: Problem | None = None
    pause: timedelta | None = None
    refusal: Problem | None = None
    is_repeated: bool = False


class Sources:
    """Reads sources one page at a time. Nothing is kept between two calls: the checkpoint says it all.

    The read gate is the caller's business, before each page.
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
        place = _place(request, checkpoint)
        if place is None:
            return SourcePage(users=[], checkpoint=None)
        if place.source == "named":
            return await self._named(request_id, request, place, most)
        if place.source == "retry":
            return await self._failed(request, place)
        return await self._listed(request, place)

    @staticmethod
    def are_found(request: RevocationRequest, checkpoint: str | None) -> bool:
        """Whether the users at the checkpoint have yet to be asked for, and were not named by the request."""
        place = _place(request, checkpoint)
        return place is not None and place.source in ("groups", "filter")

    async def check_filter(self, text: str) -> Problem | None:
        """Whether Graph refuses the filter for certain; while Graph cannot be asked, nothing is known against it."""
        try:
            answer = await self._graph.probe_filter(text)
            if _needs_advanced(answer):
                answer = await self._graph.probe_filter(text, advanced=True)
        except TokenUnavailable:
            return None
        error = graph_error(answer)
        return problems.invalid_filter(error[1]) if answer.status == _BAD_REQUEST and error else None

    async def _named(self, request_id: str, request: RevocationRequest, place: Place, most: int) -> SourcePage:
        if request.users:
            users = list(request.users[place.at : place.at + most])
        else:
            part, offset = _part_of(request, place.at)
            stored = await self._log.named_users(request_id, part)
            users = list(stored[offset : offset + most]) if stored else []
            if not users:
                raise ValueError(f"request {request_id} has lost part {part} of its users")
        at = place.at + len(users)
        return _read(users, replace(place, at=at) if at < request.named else _after(request, place))

    async def _failed(self, request: RevocationRequest, place: Place) -> SourcePage:
        """The users of the earlier request that failed, by object id where it is known."""
        page = await self._log.row_page(
            request.retry_of or "", status=UserStatus.FAILED, size=PAGE_USERS, token=place.link
        )
        users = [user for user in map(_again, page.items) if user]
        return _read(users, replace(place, link=page.token) if page.token else _after(request, place))

    async def _listed(self, request: RevocationRequest, place: Place) -> SourcePage:
        try:
            answer = await self._asked(request, place)
            if place.source == "filter" and place.link is None and not place.advanced and _needs_advanced(answer):
                place = replace(place, advanced=True)
                answer = await self._asked(request, place)
            if answer.status == _FORBIDDEN:
                # The permission may be newer than the token.
                await self._graph.token_missed_roles()
                answer = await self._asked(request, place)
            if answer.status == _FORBIDDEN:
                token = await self._graph.token()
                if place.source == "groups":
                    return _refused(permission_problems.group_not_readable(request.groups[place.at], token))
                return _refused(permission_problems.users_not_readable(token))
        except TokenUnavailable:
            return _hindered(place, problems.NO_TOKEN)
        return _judged(request, place, answer)

    async def _asked(self, request: RevocationRequest, place: Place) -> Answer:
        """One page of the group or filter at the place."""
        if place.source == "groups":
            group = request.groups[place.at]
            pages = self._graph.group_members(group, transitive=request.transitive, link=place.link)
        else:
            pages = self._graph.users_matching(request.filter or "", link=place.link, advanced=place.advanced)
        async with aclosing(pages):
            return await anext(pages)


def _judged(request: RevocationRequest, place: Place, answer: Answer) -> SourcePage:
    """What a page of a list comes down to, refusals for want of a permission apart."""
    is_group = place.source == "groups"
    what = f"the members of group {request.groups[place.at]}" if is_group else "the users that filter matches"
    refused = problems.list_refused(what, answer.status)
    verdict = of_listing(answer, unknown=problems.group_not_found(request.groups[place.at]) if is_group else refused)
    if verdict.effect is Effect.AGAIN:
        return _hindered(place, verdict.problem, verdict.pause)
    if verdict.effect is Effect.ACCEPTED:
        return _accepted(request, place, answer)
    if answer.status == _BAD_REQUEST and place.link is not None:
        # The list itself was answered before: it is the page token that is refused, most likely as expired.
        logs.event("listing_restarted", source=place.source, page=place.page)
        restarted = place.restarted()
        return _read([], restarted) if restarted else _hindered(place, problems.GRAPH_UNAVAILABLE)
    if answer.status == _BAD_REQUEST:
        error = graph_error(answer)
        if error is None:
            return _hindered(place, problems.GRAPH_UNAVAILABLE)
        return _refused(refused if is_group else problems.invalid_filter(error[1]))
    return _refused(refused if verdict.problem in (None, problems.GRAPH_REFUSED) else verdict.problem)


def _accepted(request: RevocationRequest, place: Place, answer: Answer) -> SourcePage:
    users = _users_of(answer)
    link = next_link(answer)
    following = _after(request, place) if link is None else place.followed(link)
    if users is None or (link is not None and following is None):
        logs.event("listing_unusable", source=place.source, page=place.page)
        return _hindered(place, problems.GRAPH_UNAVAILABLE)
    return replace(_read(users, following), is_repeated=place.page < place.best)


def _users_of(answer: Answer) -> list[UserRef] | None:
    """The users of a page; ``None`` when an entry cannot be told, so that nobody is missed in silence.

    Lists of members say of each entry what it is. Without a type it is taken for a user: one too many ends as
    ``userNotFound`` where everybody sees it, one too few would be seen by nobody.
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


def _again(row: UserRow) -> UserRef | None:
    if row.user_id:
        return UserRef(given=row.given, text=row.user_id, is_id=True)
    return parse_user(row.given)


def _needs_advanced(answer: Answer) -> bool:
    error = graph_error(answer)
    return answer.status == _BAD_REQUEST and error is not None and error[0] == _ADVANCED_NEEDED


def _part_of(request: RevocationRequest, at: int) -> tuple[int, int]:
    """In which part the named user at a position stands, and where in it."""
    for part, size in enumerate(request.part_sizes):
        if at < size:
            return part, at
        at -= size
    raise ValueError("a checkpoint lies behind the last named user")


def _place(request: RevocationRequest, checkpoint: str | None) -> Place | None:
    return Place.read(checkpoint) if checkpoint else _first_from(request, 0)


def _first_from(request: RevocationRequest, number: int) -> Place | None:
    """The start of the first source, from the one with this number on, that has anything to read."""
    given = {"named": request.named, "groups": request.groups, "filter": request.filter, "retry": request.retry_of}
    return next((Place(source=source) for source in _ORDER[number:] if given[source]), None)


def _after(request: RevocationRequest, place: Place) -> Place | None:
    if place.source == "groups" and place.at + 1 < len(request.groups):
        return Place(source="groups", at=place.at + 1)
    return _first_from(request, _ORDER.index(place.source) + 1)


def _read(users: list[UserRef], following: Place | None) -> SourcePage:
    return SourcePage(users=users, checkpoint=following.text if following else None)


def _hindered(place: Place, obstacle: Problem | None, pause: timedelta | None = None) -> SourcePage:
    return SourcePage(users=[], checkpoint=place.text, obstacle=obstacle or problems.GRAPH_UNAVAILABLE, pause=pause)


def _refused(refusal: Problem | None) -> SourcePage:
    return SourcePage(users=[], checkpoint=None, refusal=refusal)
