"""Whom names in settings and exclusions mean: an object id, a UPN, or a mail address that exactly one user has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import batched
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.entity_names import EntityName, EntityNameKind
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.identifiers import is_object_id
from revoke_core.domain.permissions import READ_USERS
from revoke_core.domain.responses import Answer, Effect, graph_error, is_own_matter, judge_read
from revoke_core.service.engine.holders import find_holders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.problems import Problem
    from revoke_core.ports.graph import Graph

LARGEST_READ: Final = 20
# 60 users on their way at 150 ms are 400 resource units a second, half of what Graph grants a large tenant: small
# requests and proofs need the rest (https://learn.microsoft.com/graph/throttling-limits).
_READS_AT_ONCE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesFound:
    """``matches`` has the object id for each name's key, ``None`` where it matches nobody, or more than one mailbox.

    Names that are not in it could not be looked up now: ``obstacle`` says why and ``pause`` for how long, or the app
    may not read users (``is_permitted``). ``tries`` counts look-ups that failed over the names themselves.
    """

    matches: dict[str, str | None] = field(default_factory=dict)
    is_permitted: bool = True
    obstacle: Problem | None = None
    pause: timedelta | None = None
    tries: int = 0

    def lacking(self, names: Sequence[UserRef]) -> list[UserRef]:
        """Those of the names of which nobody can tell whom they mean; an object id means itself."""
        return [name for name in names if not name.is_id and name.key not in self.matches]

    def unmatched(self, names: Sequence[UserRef]) -> list[UserRef]:
        """Those of the names that match nobody for certain."""
        return [name for name in names if self.matches.get(name.key, "") is None]


async def find_names(graph: Graph, names: Sequence[UserRef], known: NamesFound | None = None) -> NamesFound:
    """Look names up; what ``known`` has is not asked again."""
    matches = dict(known.matches) if known else {}
    missing = [*{name.key: name for name in names if name.key not in matches}.values()]
    if not missing:
        return NamesFound(matches=matches)
    try:
        if not (await graph.token()).may(READ_USERS):
            return NamesFound(matches=matches, is_permitted=False)
        blocking = None
        answers = dict(zip([name.key for name in missing], await read_in_batches(graph, missing), strict=True))
        mailboxes = [name for name in missing if not name.is_id and _is_unknown(answers[name.key])]
        entities = [EntityName(EntityNameKind.MAIL, name.text) for name in mailboxes]
        holders = dict(zip([name.key for name in mailboxes], await find_holders(graph, entities), strict=True))
        for name in missing:
            found = holders[name.key].answer if name.key in holders else answers[name.key]
            if found is None or _is_unknown(found):
                matches[name.key] = None
            elif identity := _id_of(found):
                matches[name.key] = identity
            else:
                blocking = found
    except TokenUnavailable:
        return NamesFound(matches=matches, obstacle=problems.NO_TOKEN)
    if blocking is None:
        return NamesFound(matches=matches)
    verdict = judge_read(blocking)
    if verdict.effect is Effect.FORBIDDEN:
        return NamesFound(matches=matches, is_permitted=False)
    obstacle = verdict.problem if verdict.effect is Effect.RETRY else problems.GRAPH_UNAVAILABLE
    tries = (known.tries if known else 0) + is_own_matter(blocking)
    return NamesFound(
        matches=matches, obstacle=obstacle or problems.GRAPH_UNAVAILABLE, pause=verdict.pause, tries=tries
    )


async def read_in_batches(graph: Graph, users: Sequence[UserRef], size: int = LARGEST_READ) -> list[Answer]:
    """Read users in batches, several at a time, so that a page takes a few round trips."""
    if len(users) <= size:
        return await graph.read_users(users)
    turn = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(chunk: tuple[UserRef, ...]) -> list[Answer]:
        async with turn:
            return await graph.read_users(chunk)

    chunks = await asyncio.gather(*(read(chunk) for chunk in batched(users, size, strict=False)))
    return [answer for chunk in chunks for answer in chunk]


def _is_unknown(answer: Answer) -> bool:
    """Whether Graph itself says that it knows no user of this name."""
    is_final = answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)
    return is_final and graph_error(answer) is not None


def _id_of(answer: Answer) -> str | None:
    identity = answer.body.get("id") if answer.is_success and answer.body else None
    return identity.lower() if isinstance(identity, str) and is_object_id(identity) else None
