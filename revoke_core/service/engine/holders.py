"""Who has a SID or a mail address: one rule for entities of payloads, exclusions and the protected list.

A SID is Active Directory's (``onPremisesSecurityIdentifier``) or Entra's own (``securityIdentifier``), a mail address
``mail`` or one of ``proxyAddresses``. The name stands for a user only if exactly one has it. All four properties are
filtered by ``eq`` without the headers of an advanced query
(https://learn.microsoft.com/graph/aad-advanced-queries#user-properties); where Graph wants them all the same, it is
asked again with them, and what it still refuses finds nobody.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import batched, chain
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.entity_names import EntityNameKind
from revoke_core.domain.identifiers import is_object_id
from revoke_core.domain.responses import (
    Answer,
    Delivery,
    Effect,
    graph_error,
    judge_listing,
    needs_advanced_query,
    next_link,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.entity_names import EntityName
    from revoke_core.ports.graph import Graph

LARGEST_SEARCH: Final = 20
_SEARCHES_AT_ONCE: Final = 3


@dataclass(slots=True, kw_only=True)
class Holders:
    """``users`` are Graph's answers about the users who have a name, by object id.

    ``blocking`` is the answer that leaves open who else has it; ``refused`` is Graph's own code where it does not take
    the question.
    """

    users: dict[str, Answer] = field(default_factory=dict)
    blocking: Answer | None = None
    refused: str | None = None

    @property
    def answer(self) -> Answer | None:
        """The answer to judge the user by: about the only one, or the blocking one. ``None``: nobody or several."""
        if self.blocking:
            return self.blocking
        return next(iter(self.users.values())) if len(self.users) == 1 else None


async def find_holders(graph: Graph, names: Sequence[EntityName], *, singly: bool = False) -> list[Holders]:
    """Who has each of the names, in order; what is no SID and no mail address is not asked for.

    ``singly`` makes calls of its own for each name. ``TokenUnavailable`` when the identity gives no token.
    """
    found = [Holders() for _ in names]
    searches = [[(holders, text) for text in _filters(name)] for name, holders in zip(names, found, strict=True)]
    calls = searches if singly else batched(chain.from_iterable(searches), LARGEST_SEARCH, strict=False)
    turn = asyncio.Semaphore(_SEARCHES_AT_ONCE)

    async def search(call: Sequence[tuple[Holders, str]]) -> None:
        async with turn:
            await _search(graph, call)

    await asyncio.gather(*(search(call) for call in calls if call))
    return found


async def _search(graph: Graph, call: Sequence[tuple[Holders, str]]) -> None:
    answers = await graph.search_users([text for _, text in call])
    again: list[tuple[Holders, str]] = []
    for (holders, text), answer in zip(call, answers, strict=True):
        if needs_advanced_query(answer):
            again.append((holders, text))
        else:
            await _read_on(graph, holders, text, answer, advanced=False)
    if again:
        answers = await graph.search_users([text for _, text in again], advanced=True)
        for (holders, text), answer in zip(again, answers, strict=True):
            await _read_on(graph, holders, text, answer, advanced=True)


async def _read_on(graph: Graph, holders: Holders, text: str, first: Answer, *, advanced: bool) -> None:
    """Enter whom a search has found; a page may be empty and still be followed by another."""
    _enter(holders, first)
    link = next_link(first)
    if link is None:
        return
    pages = graph.users_matching(text, link=link, advanced=advanced)
    async with aclosing(pages):
        async for page in pages:
            _enter(holders, page, is_first=False)


def _enter(holders: Holders, page: Answer, *, is_first: bool = True) -> None:
    effect = judge_listing(page, unknown=problems.GRAPH_REFUSED).effect
    if effect is Effect.FINAL and is_first:
        holders.refused = (graph_error(page) or ("",))[0]
    elif effect is Effect.FINAL:
        # The list was answered before: its link has expired, most likely.
        holders.blocking = Answer(delivery=Delivery.LOST)
    elif effect is not Effect.ACCEPTED:
        holders.blocking = page
    else:
        for entry in (page.body or {})["value"]:
            identity = entry.get("id") if isinstance(entry, dict) else None
            if not isinstance(identity, str) or not is_object_id(identity):
                holders.blocking = replace(page, body=None)
                return
            holders.users[identity.lower()] = replace(page, status=HTTPStatus.OK, body=entry)


def _filters(name: EntityName) -> list[str]:
    if not name.is_searchable:
        return []
    value = name.given.strip().replace("'", "''")
    if name.kind is EntityNameKind.SID:
        return [f"onPremisesSecurityIdentifier eq '{value}'", f"securityIdentifier eq '{value}'"]
    # Whether case counts in proxyAddresses is not published; the main address is written SMTP:, the others smtp:.
    return [
        f"mail eq '{value}' or "
        + " or ".join(f"proxyAddresses/any(p:p eq '{kind}:{value}')" for kind in ("smtp", "SMTP"))
    ]
