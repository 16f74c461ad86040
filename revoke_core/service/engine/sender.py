"""Sending: as many calls in flight as Graph has shown to take, each announced by a send intent before it leaves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.pacing import PROBE_EVERY
from revoke_core.domain.permissions import READ_USERS, REVOKE
from revoke_core.domain.responses import Effect, judge_revoke
from revoke_core.domain.run import SendIntent
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import UserStatus, after_revoke
from revoke_core.service.engine.protection import ProtectedListUnreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.lanes import Lane
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.domain.responses import Answer, Verdict
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import Budget, Clock, Gates, TokenHistory
    from revoke_core.service.engine.context import RunContext
    from revoke_core.service.engine.protection import ProtectedUsers

LARGEST_CALL: Final = 20
MIN_SLEEP: Final = timedelta(milliseconds=50)
_FIRST_PAUSED_WAIT: Final = timedelta(seconds=60)
_LONGEST_PAUSED_WAIT: Final = timedelta(minutes=15)


class Sender:
    """Starts the revoke calls of a run. An ambiguous user is never sent again before it was read."""

    def __init__(
        self,
        *,
        graph: Graph,
        gates: Gates,
        budget: Budget,
        tokens: TokenHistory,
        protected: ProtectedUsers,
        clock: Clock,
        paused: bool,
    ) -> None:
        self._graph = graph
        self._gates = gates
        self._budget = budget
        self._tokens = tokens
        self._protected = protected
        self._clock = clock
        self._paused = paused

    async def start(self, run: RunContext) -> datetime | None:
        """Start calls as long as there are users, tokens, and room for one more; returns when to come again."""
        # By the committed row, as the hold is: until the last page is in, it is unknown how many users were found.
        row, ahead = run.unit.run, run.unit.ahead
        if not (row.planned or run.request.is_named_only):
            return None
        if run.users.wants_more(ahead.positions):
            await run.users.load(ahead.positions)
        later = run.users.take_back(self._clock.now())
        if not run.users.unsent:
            return later
        if self._paused:
            run.backoff.paused()
            return self._next_look_while_paused(run)
        run.backoff.resume_from_pause()
        limit = run.sending.limit or self._budget.concurrency_limit(max(run.record.counts.total, row.counts.total))
        run.sending.limit = limit
        # Where users cannot be read, those a crash leaves ambiguous may be sent twice: one call, and no more.
        most = min(limit.size, self._budget.most_calls(run.sending.call_seconds, LARGEST_CALL)) if ahead.readable else 1
        wake = await self._fill(run, most) if run.calls < most else None
        return min((moment for moment in (wake, later) if moment), default=None)

    async def prefetch(self, number: int, lane: Lane) -> None:
        """Fetch tokens for a call that is about to be prepared, so that it need not wait for storage then."""
        tokens = await self._budget.take(number, lane=lane)
        await self._budget.give_back(tokens)

    def _next_look_while_paused(self, run: RunContext) -> datetime:
        """Less and less often: after half the time that the request has waited, at most a quarter of an hour."""
        now = self._clock.now()
        waited = now - (run.unit.run.confirmed_at or run.record.requested_at)
        return now + min(max(waited / 2, _FIRST_PAUSED_WAIT), _LONGEST_PAUSED_WAIT)

    async def _fill(self, run: RunContext, most: int) -> datetime | None:
        """Start calls until so many are in flight, or say when that may go on."""
        # The gate is read from storage, so only when there is something to pay a call with.
        wanted = min(LARGEST_CALL, run.users.unsent)
        payable_at = self._budget.next_at(wanted, lane=run.lane)
        if payable_at > self._clock.now():
            return payable_at
        if not run.backoff.pauses("write"):
            await self._budget.prefetch(wanted, lane=run.lane)
        if closed := await run.backoff.open_from("write"):
            return await self._probe(run, closed)
        wake = None
        while wake is None and run.users.unsent and run.calls < most:
            wake = await self._start_call(run)
        return wake

    async def _start_call(self, run: RunContext) -> datetime | None:
        """Start one call, or say when it may start."""
        largest = await self._largest_call()
        if not largest:
            run.backoff.blocked("write", problems.NO_TOKEN)
            return await run.backoff.open_from("write")
        wanted = min(largest, run.users.unsent)
        if largest == 1 and run.calls:
            return self._clock.now() + LEASE
        granted = await self._budget.take(wanted, lane=run.lane)
        if 0 < granted < wanted:
            # The end of a block: filled up from the next one, for a call costs the same whatever it carries.
            granted += await self._budget.take(wanted - granted, lane=run.lane)
        if not granted:
            return max(self._budget.next_at(wanted, lane=run.lane), self._clock.now() + MIN_SLEEP)
        self._spawn(run, run.users.take(granted))
        return None

    async def _probe(self, run: RunContext, closed: datetime) -> datetime:
        """Try a gate that is closed for more than ten minutes with one user; one worker of all does, now and then."""
        if not run.calls and await self._gates.may_probe("write"):
            self._spawn(run, run.users.take(1), is_probe=True)
        return min(closed, self._clock.now() + PROBE_EVERY)

    def _spawn(self, run: RunContext, rows: list[UserRow], *, is_probe: bool = False) -> None:
        run.sending.calls.add(run.tasks.spawn(self._called(run, rows, is_probe=is_probe)))

    async def _called(self, run: RunContext, rows: list[UserRow], *, is_probe: bool) -> None:
        began = self._clock.now()
        is_clean = await self.send(run, rows, is_probe=is_probe)
        run.sending.call_seconds = (self._clock.now() - began).total_seconds()
        if limit := run.sending.limit:
            run.sending.limit = limit.after_clean() if is_clean else limit.after_throttled()

    async def _largest_call(self) -> int:
        """How many users one call may carry: 1 when the token has no permission known to suffice, 0 without a token."""
        try:
            token = await self._graph.token()
            if not token.may(REVOKE):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
        except TokenUnavailable:
            return 0
        return LARGEST_CALL if token.may(REVOKE) else 1

    async def send(self, run: RunContext, rows: Sequence[UserRow], *, is_probe: bool = False) -> bool:
        """Announce a call for users taken from the working set, make it and record its outcome.

        Returns whether Graph took all of it in. Planning may be a day old: users that are protected by now are
        skipped. A probe goes through a gate that was closed for more than ten minutes, and opens it if it gets through.
        """
        try:
            protected = await self._protected.among(rows)
        except ProtectedListUnreadable:
            await self._requeue(run, rows)
            run.backoff.blocked("write", problems.PROTECTED_UNREADABLE)
            return False
        if protected:
            await self._skip(run, protected)
            rows = [row for row in rows if row not in protected]
            if not rows:
                # No call is left that would show that nothing stands in the way any more.
                run.backoff.unblocked("write")
                return True
        intent = SendIntent(positions=tuple(row.position for row in rows), sent_at=self._graph.time())
        await run.unit.record_intent(intent)
        try:
            token = await self._graph.token()
        except TokenUnavailable:
            await self._cancel_intent(run, intent, rows)
            run.backoff.blocked("write", problems.NO_TOKEN)
            return False
        is_closed = not is_probe and await self._gates.closed_until("write")
        # A host may have stood still since the intent was committed: what was allowed then may not be now.
        if run.unit.run.cancel_requested or is_closed or not run.unit.lease_is_safe:
            await self._cancel_intent(run, intent, rows)
            return False
        left_at = self._clock.now()
        answers = await self._graph.revoke([row.target for row in rows])
        # The answer may be the first to show this host Graph's time.
        sent_at = left_at + (self._graph.time() - self._clock.now())
        token = await self._token_judged_by(answers, token)
        verdicts = await self._judged(answers, token)
        results = [
            after_revoke(row, answer, verdict, sent_at=sent_at, readable=token.may(READ_USERS))
            for row, answer, verdict in zip(rows, answers, verdicts, strict=True)
        ]
        await self._record(run, intent, list(zip(rows, results, strict=True)), verdicts, token)
        is_taken = all(verdict.effect in (Effect.ACCEPTED, Effect.FINAL, Effect.FORBIDDEN) for verdict in verdicts)
        if is_probe and is_taken:
            await self._gates.reopen("write")
        return is_taken

    async def _record(
        self,
        run: RunContext,
        intent: SendIntent,
        pairs: list[tuple[UserRow, UserRow]],
        verdicts: Sequence[Verdict],
        token: TokenFacts,
    ) -> None:
        apart = run.backoff.after("write", verdicts, others=run.unit.ahead.counts.pending > len(pairs))
        abort_reason = next((verdict.problem for verdict in verdicts if _aborts_request(verdict, token)), None)
        if abort_reason:
            run.unit.enqueue(abort_reason=abort_reason)
        run.unit.record_outcome(intent, pairs)
        now = self._clock.now()
        for (_, row), verdict in zip(pairs, verdicts, strict=True):
            failed_at = now if apart and verdict.effect in (Effect.RETRY, Effect.AMBIGUOUS) else None
            run.users.update(row, verifying=run.unit.run.verifying, failed_at=failed_at)
        logs.event(
            "revokes_answered",
            requestId=run.record.id,
            sent=len(pairs),
            accepted=sum(row.status is UserStatus.REVOKED for _, row in pairs),
            failed=sum(row.status is UserStatus.FAILED for _, row in pairs),
        )

    async def _skip(self, run: RunContext, rows: Sequence[UserRow]) -> None:
        pairs = [(row, row.ended(UserStatus.SKIPPED, problems.PROTECTED)) for row in rows]
        run.unit.enqueue(pairs)
        for _, row in pairs:
            run.users.update(row, verifying=run.unit.run.verifying)
        await self._budget.give_back(len(pairs))

    async def _cancel_intent(self, run: RunContext, intent: SendIntent, rows: Sequence[UserRow]) -> None:
        """The announced call never left."""
        run.unit.record_outcome(intent, ())
        await self._requeue(run, rows)

    async def _requeue(self, run: RunContext, rows: Sequence[UserRow]) -> None:
        run.users.requeue(rows)
        await self._budget.give_back(len(rows))

    async def _token_judged_by(self, answers: Sequence[Answer], token: TokenFacts) -> TokenFacts:
        """The token to judge a 403 by: Graph may have refused the first as such, and the next has other roles."""
        if not any(answer.is_forbidden for answer in answers):
            return token
        try:
            return await self._graph.token()
        except TokenUnavailable:
            return token

    async def _judged(self, answers: Sequence[Answer], token: TokenFacts) -> list[Verdict]:
        """Judge the answers together: the success of one proves what the token may do."""
        if any(answer.is_success for answer in answers):
            await self._tokens.note_revoked(token.fingerprint)
        is_refused = any(answer.is_forbidden for answer in answers)
        is_proven = is_refused and await self._tokens.has_revoked(token.fingerprint)
        return [judge_revoke(answer, token, token_has_revoked=is_proven) for answer in answers]


def _aborts_request(verdict: Verdict, token: TokenFacts) -> bool:
    """Whether no further user need be sent: the token lacks the permission."""
    return verdict.effect is Effect.FORBIDDEN and not token.may(REVOKE)
