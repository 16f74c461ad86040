"""Microsoft Graph and its gates: a ``Retry-After`` closes one at once, and whoever reads waits until it has passed.

The use cases look at the gate to know when to go on. This is the guard for every single call: a page of users is looked
up in many calls, and a filter is tried, and the protected group read, outside any request's own course.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.verdicts import Answer, Delivery, asked_pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.graph_port import Graph
    from revoke_core.ports import GateKind, Gates

_THROTTLED: Final = 429
_SERVER_ERRORS: Final = range(500, 600)
# What Graph would say if it were asked now.
_NOT_NOW: Final = Answer(delivery=Delivery.NOT_SENT, status=_THROTTLED)


class GatedGraph:
    """The ``Graph`` port over another one; while the read gate is closed, reads are answered as throttled, unsent.

    An answer that asks to wait closes its gate here, before whoever made the call hears of it.

    One item now and then goes through a gate that is closed for very long, and opens it when Graph answers.

    Revokes pass: those who send them look at their gate once the mark is written, and a probe has to get through. The
    calls of a batch that Graph refuses as such are made one by one, so that each user is told by an answer of its own.
    """

    def __init__(self, *, graph: Graph, gates: Gates) -> None:
        self._graph = graph
        self._gates = gates

    async def token(self) -> TokenFacts:
        """As the port."""
        return await self._graph.token()

    async def token_missed_roles(self) -> None:
        """As the port."""
        await self._graph.token_missed_roles()

    async def read_users(self, users: Sequence[UserRef]) -> list[Answer]:
        """As the port."""
        if await self._gates.closed_until("read"):
            return [*await self._probe_with(users[:1]), *[_NOT_NOW] * len(users[1:])]
        answers = await self._graph.read_users(users)
        await self._obey("read", answers)
        return answers if not _is_unopened(answers) else await self._one_by_one("read", self._graph.read_users, users)

    async def revoke(self, users: Sequence[UserRef]) -> list[Answer]:
        """As the port."""
        answers = await self._graph.revoke(users)
        await self._obey("write", answers)
        return answers if not _is_unopened(answers) else await self._one_by_one("write", self._graph.revoke, users)

    async def group_members(
        self, group_id: str, *, transitive: bool = True, link: str | None = None
    ) -> AsyncGenerator[Answer]:
        """As the port; a gate that closes in the middle ends the pages with a throttled answer."""
        async for answer in self._pages(self._graph.group_members(group_id, transitive=transitive, link=link)):
            yield answer

    async def users_matching(
        self, text: str, *, link: str | None = None, advanced: bool = False
    ) -> AsyncGenerator[Answer]:
        """As the port; a gate that closes in the middle ends the pages with a throttled answer."""
        async for answer in self._pages(self._graph.users_matching(text, link=link, advanced=advanced)):
            yield answer

    async def probe_filter(self, text: str, *, advanced: bool = False) -> Answer:
        """As the port."""
        is_closed = await self._gates.closed_until("read")
        if is_closed and not await self._gates.may_probe("read"):
            return _NOT_NOW
        answer = await self._graph.probe_filter(text, advanced=advanced)
        await (self._learn([answer]) if is_closed else self._obey("read", [answer]))
        return answer

    def time(self) -> datetime:
        """As the port."""
        return self._graph.time()

    @property
    def has_told_the_time(self) -> bool:
        """As the port."""
        return self._graph.has_told_the_time

    async def _pages(self, pages: AsyncGenerator[Answer]) -> AsyncGenerator[Answer]:
        try:
            while True:
                is_closed = await self._gates.closed_until("read")
                if is_closed and not await self._gates.may_probe("read"):
                    yield _NOT_NOW
                    return
                answer = await anext(pages, None)
                if answer is None:
                    return
                await (self._learn([answer]) if is_closed else self._obey("read", [answer]))
                yield answer
                if not answer.is_success:
                    return
        finally:
            await pages.aclose()

    async def _probe_with(self, users: Sequence[UserRef]) -> list[Answer]:
        """A gate that is closed for more than ten minutes is tried with one user now and then, by one caller of all."""
        if not users or not await self._gates.may_probe("read"):
            return [_NOT_NOW] * len(users)
        answers = await self._graph.read_users(users)
        await self._learn(answers)
        return answers

    async def _learn(self, answers: Sequence[Answer]) -> None:
        """What came of a probe: any answer about what was asked means that Graph answers again."""
        if all(answer.delivery is Delivery.ANSWERED and not _asks_to_wait(answer) for answer in answers):
            await self._gates.reopen("read")
        else:
            await self._obey("read", answers)

    async def _one_by_one(
        self, kind: GateKind, call: Callable[[Sequence[UserRef]], Awaitable[list[Answer]]], users: Sequence[UserRef]
    ) -> list[Answer]:
        logs.event("graph_batch_refused", kind=kind, users=len(users))
        answers: list[Answer] = []
        for user in users:
            if await self._gates.closed_until(kind):
                answers.append(_NOT_NOW)
                continue
            found = await call([user])
            await self._obey(kind, found)
            answers += found
        return answers

    async def _obey(self, kind: GateKind, answers: Sequence[Answer]) -> None:
        """Close the gate before anybody else gets to send: a caller may have more on its way than this call."""
        pauses = [pause for answer in answers if (pause := asked_pause(answer))]
        if pauses:
            await self._gates.close_for(kind, max(pauses))


def _asks_to_wait(answer: Answer) -> bool:
    return answer.status == _THROTTLED or answer.status in _SERVER_ERRORS or asked_pause(answer) is not None


def _is_unopened(answers: Sequence[Answer]) -> bool:
    return any(answer.delivery is Delivery.UNOPENED for answer in answers)
