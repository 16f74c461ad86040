"""Reading cut-offs: proof for users whom Graph said it revoked, settlement for calls whose answer never came."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import problems
from revoke_core.domain.moments import parsed_or_none
from revoke_core.domain.permissions import READ_USERS, TokenFacts
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.domain.schedules import has_moved, next_read, settles
from revoke_core.domain.verdicts import Answer, Effect, of_read
from revoke_core.service.planning import UNPROVEN_BY_PERMISSION
from revoke_core.service.run_in_hand import target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.ports import Clock, Graph
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.waiting import Waiting

_LARGEST_READ: Final = 20


class Prover:
    """One round of reads for users that are due."""

    def __init__(self, *, graph: Graph, waiting: Waiting, clock: Clock) -> None:
        self._graph = graph
        self._waiting = waiting
        self._clock = clock

    @staticmethod
    def can_read(token: TokenFacts) -> bool:
        """Whether cut-offs can be read at all."""
        return token.may(READ_USERS)

    def due(self, hand: RunInHand) -> list[UserRow]:
        """Users whose cut-off is to be read now."""
        now = self._graph.time()
        moments = ((row, next_read(row, hand.last_reads.get(row.position))) for row in hand.open.values())
        return [row for row, moment in moments if moment and moment <= now][:_LARGEST_READ]

    def next_due(self, hand: RunInHand) -> datetime | None:
        """When the next read is due, this process's clock."""
        ahead = self._graph.time() - self._clock.now()
        moments = (next_read(row, hand.last_reads.get(row.position)) for row in hand.open.values())
        return min((moment - ahead for moment in moments if moment), default=None)

    async def read(self, rows: Sequence[UserRow]) -> list[Answer]:
        """Ask Graph for the users as they stand now."""
        return await self._graph.read_users([target(row) for row in rows])

    async def apply(self, hand: RunInHand, rows: Sequence[UserRow], answers: Sequence[Answer]) -> None:
        """Write what the answers tell of the rows."""
        verdicts = [of_read(answer) for answer in answers]
        changes: dict[str, Any] = await self._waiting.after(hand, "read", verdicts)
        if any(verdict.effect is Effect.FINAL and verdict.problem is None for verdict in verdicts):
            # Without this, revoked users would wait for a proof that can never come.
            changes |= {"proving": False, "warnings": (*hand.run.warnings, UNPROVEN_BY_PERMISSION)}
            await hand.write([_blind(row) for row in hand.open.values() if row.in_doubt], **changes)
            return
        results: list[UserRow] = []
        for row, answer, verdict in zip(rows, answers, verdicts, strict=True):
            if verdict.effect is Effect.ACCEPTED:
                hand.last_reads[row.position] = self._graph.time()
                last = next_read(row, hand.last_reads[row.position]) is None
                results.append(_judged(row, answer, last=last, proving=hand.run.proving))
            elif verdict.effect is Effect.FINAL:
                problem = problems.UNVERIFIED if row.status is UserStatus.REVOKED else verdict.problem
                results.append(row.ended(UserStatus.FAILED, problem))
        changed = [row for row in results if row != hand.open.get(row.position)]
        if changed or changes:
            await hand.write(changed, **changes)


def _judged(row: UserRow, answer: Answer, *, last: bool, proving: bool) -> UserRow:
    value = (answer.body or {}).get("signInSessionsValidFromDateTime")
    valid_from = parsed_or_none(value) if isinstance(value, str) else None
    if row.status is UserStatus.REVOKED:
        if has_moved(row, valid_from):
            return replace(row.ended(UserStatus.VERIFIED), valid_from=valid_from)
        return row.ended(UserStatus.FAILED, problems.UNVERIFIED) if last else row
    if settles(row, valid_from):
        settled = replace(row, revoked_at=row.sent_at, answered_error=False)
        if not proving:
            return settled.ended(UserStatus.REVOKED)
        return replace(settled.ended(UserStatus.VERIFIED), valid_from=valid_from)
    return replace(row, sent_at=None, answered_error=False) if last else row


def _blind(row: UserRow) -> UserRow:
    if row.blind_repeats:
        return row.ended(UserStatus.FAILED, problems.OUTCOME_UNKNOWN)
    return replace(row, sent_at=None, blind_repeats=row.blind_repeats + 1)
