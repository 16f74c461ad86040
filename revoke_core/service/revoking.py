"""Sending revokes: look who is protected, announce, send, judge every answer. Nothing in doubt is sent again unread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.permissions import READ_USERS, REVOKE, TokenFacts
from revoke_core.domain.results import Problem, UserRow, UserStatus
from revoke_core.domain.run import Flight
from revoke_core.domain.verdicts import Answer, Delivery, Effect, Verdict, of_revoke, unread
from revoke_core.service.protection import ProtectedListUnreadable
from revoke_core.service.targets import target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.graph_port import Graph
    from revoke_core.ports import Budget, Clock, Gates, Ledger
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.protection import ProtectedUsers
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.waiting import Pauses

LARGEST_SEND: Final = 20
_THROTTLED: Final = 429
_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How a call went: whether Graph took all of it in without asking to slow down, and why the rest need not go."""

    is_clean: bool
    is_throttled: bool = False
    stopped: Problem | None = None


class Revoker:
    """One call of up to 20 revokes."""

    def __init__(
        self,
        *,
        graph: Graph,
        gates: Gates,
        budget: Budget,
        ledger: Ledger,
        protected: ProtectedUsers,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._protected = protected
        self._graph = graph
        self._gates = gates
        self._budget = budget
        self._ledger = ledger

    async def largest(self) -> int:
        """How many users one call may carry: only one when the token has no permission known to suffice.

        0 when there is no token.
        """
        try:
            token = await self._graph.token()
            if not token.may(REVOKE):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
        except TokenUnavailable:
            return 0
        return LARGEST_SEND if token.may(REVOKE) else 1

    async def send(
        self, hand: RunInHand, backlog: Backlog, pauses: Pauses, rows: Sequence[UserRow], *, is_probe: bool = False
    ) -> Sent:
        """Announce, send and enter what became of it; the rows have been taken from the backlog.

        A probe goes through a gate that was closed for more than ten minutes, and opens it when it gets through.
        Planning may be a day old: whoever has been protected since is not sent, and gets that as the last word.
        """
        try:
            protected = await self._protected.among(rows)
        except ProtectedListUnreadable:
            await self._put_back(backlog, rows)
            await hand.note(**await pauses.obstacle("write", problems.PROTECTED_UNREADABLE, None))
            return Sent(is_clean=False)
        if protected:
            pairs = [(row, row.ended(UserStatus.SKIPPED, problems.PROTECTED)) for row in protected]
            # Nobody else may be left whose call would show that nothing stands in the way any more.
            await hand.note(pairs, **(pauses.cleared("write") if len(pairs) == len(rows) else {}))
            for _, row in pairs:
                backlog.landed(row, proving=hand.run.proving)
            await self._budget.give_back(len(pairs))
            rows = [row for row in rows if row not in protected]
        return await self._send(hand, backlog, pauses, rows, is_probe=is_probe) if rows else Sent(is_clean=True)

    async def _send(
        self, hand: RunInHand, backlog: Backlog, pauses: Pauses, rows: Sequence[UserRow], *, is_probe: bool
    ) -> Sent:
        flight = Flight(positions=tuple(row.position for row in rows), sent_at=self._graph.time())
        await hand.take_off(flight)
        try:
            token = await self._graph.token()
        except TokenUnavailable:
            await self._recall(hand, backlog, flight, rows)
            await hand.note(**await pauses.obstacle("write", problems.NO_TOKEN, None))
            return Sent(is_clean=False)
        closed = not is_probe and await self._gates.closed_until("write")
        # All that took a moment, and a host may stand still at any of it: what was allowed before may not be now.
        if hand.run.cancel_requested or closed or not hand.is_sure:
            await self._recall(hand, backlog, flight, rows)
            return Sent(is_clean=False)
        left_at = self._clock.now()
        answers = await self._graph.revoke([target(row) for row in rows])
        token = await self._judging(answers, token)
        verdicts = await self._verdicts(answers, token)
        # The answer may be the first to tell this host Graph's time.
        sent_at = left_at + (self._graph.time() - self._clock.now())
        sent = [replace(row, sent_at=sent_at, attempts=row.attempts + 1) for row in rows]
        results = [
            _result(row, answer, verdict, readable=token.may(READ_USERS))
            for row, answer, verdict in zip(sent, answers, verdicts, strict=True)
        ]
        _log(hand.run.request_id, results)
        changes = await pauses.after("write", verdicts)
        throttled = any(answer.status == _THROTTLED for answer in answers)
        if throttled:
            asked = max((verdict.pause for verdict in verdicts if verdict.pause), default=None)
            await self._budget.was_throttled(sent_at=left_at, pause=asked)
        else:
            self._budget.was_clean(len(rows))
            # A user who is refused was looked at, so Graph answers again.
            if is_probe and all(verdict.effect in (Effect.ACCEPTED, Effect.FINAL) for verdict in verdicts):
                await self._gates.reopen("write")
        stopped = next((verdict.problem for verdict in verdicts if _stops_all(verdict, token)), None)
        if stopped:
            changes |= {"stopped": stopped}
        await hand.land(flight, list(zip(rows, results, strict=True)), **changes)
        for row in results:
            backlog.landed(row, proving=hand.run.proving)
        is_clean = all(verdict.effect in (Effect.ACCEPTED, Effect.FINAL) for verdict in verdicts)
        return Sent(is_clean=is_clean, is_throttled=throttled, stopped=stopped)

    async def _recall(self, hand: RunInHand, backlog: Backlog, flight: Flight, rows: Sequence[UserRow]) -> None:
        """Take the mark back: the call never left."""
        await hand.land(flight, ())
        await self._put_back(backlog, rows)

    async def _put_back(self, backlog: Backlog, rows: Sequence[UserRow]) -> None:
        backlog.put_back(rows)
        await self._budget.give_back(len(rows))

    async def _judging(self, answers: Sequence[Answer], token: TokenFacts) -> TokenFacts:
        """The token to judge a 403 by: Graph may have refused the first as such, and the next has other roles."""
        if not any(answer.status == _FORBIDDEN for answer in answers):
            return token
        try:
            return await self._graph.token()
        except TokenUnavailable:
            return token

    async def _verdicts(self, answers: Sequence[Answer], token: TokenFacts) -> list[Verdict]:
        """Judge the answers together: somebody else's success proves what the token may do."""
        if any(answer.is_success for answer in answers):
            await self._ledger.note_token_revoked(token.fingerprint)
        refused = any(answer.status == _FORBIDDEN for answer in answers)
        proven = refused and await self._ledger.token_has_revoked(token.fingerprint)
        return [of_revoke(answer, token, token_has_revoked=proven) for answer in answers]


def _result(row: UserRow, answer: Answer, verdict: Verdict, *, readable: bool) -> UserRow:
    match verdict.effect:
        case Effect.ACCEPTED:
            return replace(row.ended(UserStatus.REVOKED), revoked_at=row.sent_at, graph_request_id=answer.request_id)
        case Effect.FINAL:
            # Only where the hint sends a person to Microsoft's support with it.
            request_id = answer.request_id if verdict.problem is problems.GRAPH_REFUSED else None
            return replace(row.ended(UserStatus.FAILED, verdict.problem), sent_at=None, graph_request_id=request_id)
        case Effect.AGAIN:
            never_left = answer.delivery in (Delivery.NOT_SENT, Delivery.UNOPENED)
            return replace(row, sent_at=None, attempts=row.attempts - never_left)
    in_doubt = replace(row, doubt=verdict.doubt)
    return in_doubt if readable else unread(in_doubt)


def _stops_all(verdict: Verdict, token: TokenFacts) -> bool:
    return bool(verdict.problem and verdict.problem.code == "appPermissionMissing" and not token.may(REVOKE))


def _log(request_id: str, results: Sequence[UserRow]) -> None:
    logs.event(
        "revokes_answered",
        requestId=request_id,
        sent=len(results),
        accepted=sum(row.status is UserStatus.REVOKED for row in results),
        failed=sum(row.status is UserStatus.FAILED for row in results),
    )
