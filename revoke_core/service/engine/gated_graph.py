"""Microsoft Graph behind its gates: every call to Graph passes here.

Planner, sender and verifier ask the gate to know when to go on. This is the guard for every single call: a page of
users is looked up in many calls, and filters and the protected group are read outside any run.

The way of a 429 for one user in a batch: here the gate closes for the longest ``Retry-After`` in the batch, and the
budget learns; ``domain.responses`` calls the answer a retry; ``domain.user_state.after_revoke`` keeps the user pending;
``Backoff`` pauses the request where no wait was asked for; ``ConcurrencyLimit`` goes back to one call at a time; and
``WorkingSet`` has the user sent first once gate and budget allow it.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain.responses import Answer, Delivery, asked_pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import Budget, Clock, GateKind, Gates

_SERVER_ERRORS: Final = range(500, 600)
# What Graph would say if it were asked now.
_NOT_NOW: Final = Answer(delivery=Delivery.NOT_SENT, status=HTTPStatus.TOO_MANY_REQUESTS)


class GatedGraph:
    """The ``Graph`` port over another one.

    - An answer that asks to wait closes its gate before the caller gets it; a 429 for a write also teaches the budget.
    - While the read gate is closed, reads are answered as throttled without being sent.
    - A read gate closed for more than ten minutes is probed with one item now and then, and opens when Graph answers.
    - Revokes pass: the sender checks the write gate once its intent is committed, and a probe has to get through.
    - The items of a batch that Graph refuses as such are sent one by one, so that each has an answer of its own.
    """

    def __init__(self, *, graph: Graph, gates: Gates, budget: Budget, clock: Clock) -> None:
        self._graph = graph
        self._gates = gates
        self._budget = budget
        self._clock = clock

    async def token(self) -> TokenFacts:
        """As the port."""
        return await self._graph.token()

    async def token_missed_roles(self) -> None:
        """As the port."""
        await self._graph.token_missed_roles()

    async def read_users(self, users: Sequence[UserRef]) -> list[Answer]:
        """As the port."""
        return await self._read(self._graph.read_users, users)

    async def search_users(self, filters: Sequence[str], *, advanced: bool = False) -> list[Answer]:
        """As the port."""
        return await self._read(partial(self._graph.search_users, advanced=advanced), filters)

    async def revoke(self, users: Sequence[UserRef]) -> list[Answer]:
        """As the port."""
        answers = await self._write(users)
        return answers if not _is_unopened(answers) else await self._one_by_one("write", self._write, users)

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

    async def _read[T](
        self, call: Callable[[Sequence[T]], Awaitable[list[Answer]]], asked: Sequence[T]
    ) -> list[Answer]:
        if await self._gates.closed_until("read"):
            return [*await self._probe_with(call, asked[:1]), *[_NOT_NOW] * len(asked[1:])]
        answers = await call(asked)
        await self._obey("read", answers)
        return answers if not _is_unopened(answers) else await self._one_by_one("read", call, asked)

    async def _write(self, users: Sequence[UserRef]) -> list[Answer]:
        sent_at = self._clock.now()
        answers = await self._graph.revoke(users)
        self._budget.was_sent(len(users))
        await self._obey("write", answers)
        if any(answer.status == HTTPStatus.TOO_MANY_REQUESTS for answer in answers):
            asked = max((pause for answer in answers if (pause := asked_pause(answer))), default=None)
            await self._budget.was_throttled(sent_at=sent_at, pause=asked)
        else:
            self._budget.was_clean(len(users))
        return answers

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

    async def _probe_with[T](
        self, call: Callable[[Sequence[T]], Awaitable[list[Answer]]], asked: Sequence[T]
    ) -> list[Answer]:
        """A read gate that is closed for more than ten minutes is probed with one item, by one caller of all."""
        if not asked or not await self._gates.may_probe("read"):
            return [_NOT_NOW] * len(asked)
        answers = await call(asked)
        await self._learn(answers)
        return answers

    async def _learn(self, answers: Sequence[Answer]) -> None:
        """After a probe: any answer about what was asked means that Graph answers again."""
        if all(answer.delivery is Delivery.ANSWERED and not _asks_to_wait(answer) for answer in answers):
            await self._gates.reopen("read")
        else:
            await self._obey("read", answers)

    async def _one_by_one[T](
        self, kind: GateKind, call: Callable[[Sequence[T]], Awaitable[list[Answer]]], asked: Sequence[T]
    ) -> list[Answer]:
        logs.event("graph_batch_refused", kind=kind, users=len(asked))
        answers: list[Answer] = []
        for item in asked:
            if await self._gates.closed_until(kind):
                answers.append(_NOT_NOW)
                continue
            found = await call([item])
            if kind == "read":
                await self._obey(kind, found)
            answers += found
        return answers

    async def _obey(self, kind: GateKind, answers: Sequence[Answer]) -> None:
        """Close the gate at once: other calls may be about to leave."""
        backoff = [pause for answer in answers if (pause := asked_pause(answer))]
        if backoff:
            await self._gates.close_for(kind, max(backoff))


def _asks_to_wait(answer: Answer) -> bool:
    return (
        answer.status == HTTPStatus.TOO_MANY_REQUESTS
        or answer.status in _SERVER_ERRORS
        or asked_pause(answer) is not None
    )


def _is_unopened(answers: Sequence[Answer]) -> bool:
    return any(answer.delivery is Delivery.UNOPENED for answer in answers)
