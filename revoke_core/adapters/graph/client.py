"""Microsoft Graph for the use cases: read users, revoke them, list users and a group's members, read its two logs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from revoke_core.adapters.graph.batch import LARGEST_BATCH, batch_answers, batch_body, single_answer
from revoke_core.adapters.graph.paths import (
    cut_off_audits_path,
    matching_path,
    members_path,
    read_path,
    revoke_path,
    search_path,
    sign_ins_path,
)
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.responses import Answer, Delivery, next_link

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import datetime

    from revoke_core.adapters.graph.identity import GraphIdentity
    from revoke_core.adapters.graph.transport import GraphTransport
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts


class MicrosoftGraph:
    """The real Graph; one user is one plain call, several are batches of 20."""

    def __init__(self, *, transport: GraphTransport, identity: GraphIdentity) -> None:
        self._transport = transport
        self._identity = identity

    async def token(self) -> TokenFacts:
        """Facts of the token in use."""
        return await self._identity.facts()

    async def token_missed_roles(self) -> None:
        """Rebuild the credential, at most every five minutes."""
        await self._identity.rebuild()

    async def read_users(self, users: Sequence[UserRef]) -> list[Answer]:
        """``GET /users/{id}`` for each."""
        return await self._each("GET", [read_path(user) for user in users])

    async def search_users(self, filters: Sequence[str], *, advanced: bool = False) -> list[Answer]:
        """``GET /users?$filter=…`` for each."""
        paths = [search_path(text, advanced=advanced) for text in filters]
        return await self._each("GET", paths, _advanced_headers(advanced=advanced))

    async def revoke(self, users: Sequence[UserRef]) -> list[Answer]:
        """``POST /users/{id}/revokeSignInSessions`` for each."""
        return await self._each("POST", [revoke_path(user) for user in users])

    async def group_members(
        self, group_id: str, *, transitive: bool = True, link: str | None = None
    ) -> AsyncGenerator[Answer]:
        """Pages of ``GET /groups/{id}/transitiveMembers`` or ``…/members``."""
        async for answer in self._pages(members_path(group_id, transitive=transitive), link, {}):
            yield answer

    async def users_matching(
        self, text: str, *, link: str | None = None, advanced: bool = False
    ) -> AsyncGenerator[Answer]:
        """Pages of ``GET /users?$filter=…``."""
        async for answer in self._pages(
            matching_path(text, advanced=advanced), link, _advanced_headers(advanced=advanced)
        ):
            yield answer

    async def probe_filter(self, text: str, *, advanced: bool = False) -> Answer:
        """``GET /users?$filter=…&$top=1``."""
        path = matching_path(text, advanced=advanced, probe=True)
        return single_answer(
            await self._transport.send("GET", path, headers=_advanced_headers(advanced=advanced)),
            self._transport.time(),
        )

    async def cut_off_audits(self, since: datetime, until: datetime) -> AsyncGenerator[Answer]:
        """Pages of ``GET /auditLogs/directoryAudits?$filter=…``."""
        async for answer in self._pages(cut_off_audits_path(since, until), None, {}):
            yield answer

    async def sign_ins(self, users: Sequence[UserRef], since: datetime) -> AsyncGenerator[Answer]:
        """Pages of ``GET /auditLogs/signIns?$filter=…``."""
        async for answer in self._pages(sign_ins_path(users, since), None, {}):
            yield answer

    def time(self) -> datetime:
        """Now by Graph's clock."""
        return self._transport.time()

    @property
    def has_told_the_time(self) -> bool:
        """Whether an answer has had a ``Date`` header."""
        return self._transport.has_told_the_time

    async def _pages(self, first: str, link: str | None, headers: Mapping[str, str]) -> AsyncGenerator[Answer]:
        """Pages from the first, or from a nextLink; an empty page may still be followed by another.

        Graph does not carry headers over to a nextLink, so they go out with every page.
        """
        path = first if link is None else self._transport.relative(link)
        followed = {link}
        while path is not None:
            answer = single_answer(await self._transport.send("GET", path, headers=headers), self._transport.time())
            yield answer
            link = next_link(answer)
            if link is None:
                return
            path = self._transport.relative(link) if link not in followed else None
            followed.add(link)
        yield Answer(delivery=Delivery.LOST)

    async def _each(self, method: str, paths: list[str], headers: Mapping[str, str] | None = None) -> list[Answer]:
        try:
            return await self._sent(method, paths, headers or {})
        except TokenUnavailable:
            return [Answer(delivery=Delivery.NOT_SENT, status=HTTPStatus.UNAUTHORIZED)] * len(paths)

    async def _sent(self, method: str, paths: list[str], headers: Mapping[str, str]) -> list[Answer]:
        if len(paths) == 1:
            reply = await self._transport.send(method, paths[0], headers=headers)
            return [single_answer(reply, self._transport.time())]
        answers: list[Answer] = []
        for start in range(0, len(paths), LARGEST_BATCH):
            chunk = paths[start : start + LARGEST_BATCH]
            reply = await self._transport.send("POST", "/$batch", body=batch_body(method, chunk, headers))
            answers += batch_answers(reply, len(chunk), self._transport.time())
        if any(answer.delivery is Delivery.ANSWERED and answer.status == HTTPStatus.UNAUTHORIZED for answer in answers):
            # Graph accepted the token for the batch and refused it for calls in it: these need another one later.
            await self._identity.rebuild(at_once=True)
        return answers


def _advanced_headers(*, advanced: bool) -> dict[str, str]:
    return {"ConsistencyLevel": "eventual"} if advanced else {}
