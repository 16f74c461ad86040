"""Sending revokes: mark first, send, judge every answer, write. Nothing in doubt is ever sent again unread."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.permissions import REVOKE, TokenFacts
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.domain.verdicts import Answer, Delivery, Effect, Verdict, of_revoke
from revoke_core.service.run_in_hand import target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from revoke_core.ports import Gates, Graph, Ledger
    from revoke_core.service.proving import Prover
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.waiting import Waiting

LARGEST_SEND: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The users of one round, marked as sent, and those who wait for a later one."""

    token: TokenFacts
    marked: list[UserRow]
    waiting: list[UserRow]


class Revoker:
    """One round of revoke calls for users that wait unsent."""

    def __init__(self, *, graph: Graph, gates: Gates, ledger: Ledger, waiting: Waiting, prover: Prover) -> None:
        self._graph = graph
        self._gates = gates
        self._ledger = ledger
        self._waiting = waiting
        self._prover = prover

    async def prepared(self, rows: Iterable[UserRow]) -> Sending:
        """Choose and mark up to 20 waiting users; only one when the token has no permission known to suffice.

        The marks have to be written before the calls leave.
        """
        token = await self._graph.token()
        if not token.may(REVOKE):
            await self._graph.token_missed_roles()
            token = await self._graph.token()
        size = LARGEST_SEND if token.may(REVOKE) else 1
        waiting = [row for row in rows if row.status is UserStatus.PENDING and row.sent_at is None]
        sent_at = self._graph.time()
        marked = [replace(row, sent_at=sent_at, attempts=row.attempts + 1) for row in waiting[:size]]
        return Sending(token=token, marked=marked, waiting=waiting[size:])

    async def send(self, hand: RunInHand) -> None:
        """One round: mark, write, send, judge."""
        sending = await self.prepared(hand.open.values())
        await hand.write(sending.marked)
        await self.deliver(hand, sending)

    async def deliver(self, hand: RunInHand, sending: Sending) -> None:
        """Send what has been marked and written, and write what the answers mean."""
        token, marked = sending.token, sending.marked
        answers = await self._graph.revoke([target(row) for row in marked])
        verdicts = await self._verdicts(answers, token)
        results = [
            _result(row, answer, verdict, readable=self._prover.can_read(token))
            for row, answer, verdict in zip(marked, answers, verdicts, strict=True)
        ]
        logs.event(
            "revokes_answered",
            requestId=hand.run.request_id,
            sent=len(results),
            accepted=sum(row.status is UserStatus.REVOKED for row in results),
            failed=sum(row.status is UserStatus.FAILED for row in results),
        )
        changes = await self._waiting.after(hand, "write", verdicts)
        stopped = [verdict.problem for verdict in verdicts if _stops_all(verdict, token)]
        if stopped:
            results += [row.ended(UserStatus.FAILED, stopped[0]) for row in sending.waiting]
        fresh = [row for row in results if row.status is UserStatus.REVOKED]
        if not (fresh and hand.run.proving) or await self._gates.closed_until("read"):
            await hand.write(results, **changes)
            return
        _, proofs = await asyncio.gather(hand.write(results, **changes), self._prover.read(fresh))
        await self._prover.apply(hand, fresh, proofs)

    async def _verdicts(self, answers: Sequence[Answer], token: TokenFacts) -> list[Verdict]:
        """Judge the answers together: somebody else's success proves what the token may do."""
        if any(answer.is_success for answer in answers):
            await self._ledger.note_token_revoked(token.fingerprint)
        refused = any(answer.status == 403 for answer in answers)  # noqa: PLR2004 -- HTTP's Forbidden
        proven = refused and await self._ledger.token_has_revoked(token.fingerprint)
        return [of_revoke(answer, token, token_has_revoked=proven) for answer in answers]


def _result(row: UserRow, answer: Answer, verdict: Verdict, *, readable: bool) -> UserRow:
    match verdict.effect:
        case Effect.ACCEPTED:
            return replace(row.ended(UserStatus.REVOKED), revoked_at=row.sent_at, graph_request_id=answer.request_id)
        case Effect.FINAL:
            return replace(row.ended(UserStatus.FAILED, verdict.problem), sent_at=None)
        case Effect.AGAIN:
            never_left = answer.delivery is Delivery.NOT_SENT
            return replace(row, sent_at=None, attempts=row.attempts - never_left)
        case Effect.DOUBT if readable:
            return replace(row, answered_error=answer.delivery is Delivery.ANSWERED)
    if row.blind_repeats:
        return row.ended(UserStatus.FAILED, problems.OUTCOME_UNKNOWN)
    return replace(row, sent_at=None, blind_repeats=row.blind_repeats + 1)


def _stops_all(verdict: Verdict, token: TokenFacts) -> bool:
    return bool(verdict.problem and verdict.problem.code == "appPermissionMissing" and not token.may(REVOKE))
