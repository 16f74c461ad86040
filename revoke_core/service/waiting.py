"""What to do when Graph says not now: close the shared gate, or pause this request a little longer each time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import problems
from revoke_core.domain.schedules import growing_pause
from revoke_core.domain.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.results import Problem
    from revoke_core.ports import Clock, GateKind, Gates, Run

# A shorter Retry-After than this is no pause; without a growing one the app would spin.
_SHORTEST: Final = timedelta(milliseconds=500)

TRANSIENT: Final = {
    problem.code: problem
    for problem in (
        problems.THROTTLED,
        problems.GRAPH_UNAVAILABLE,
        problems.NO_TOKEN,
        problems.PROTECTED_UNREADABLE,
        problems.PAUSED,
    )
}


class Pauses:
    """The waits of one worker's go at one request; the cause is kept in the run, in case it never gets through."""

    def __init__(self, *, run: Run, gates: Gates, clock: Clock) -> None:
        self._gates = gates
        self._clock = clock
        self._failures = run.failures
        self._cause = run.cause
        self._until: dict[GateKind, datetime] = {}

    async def open_from(self, kind: GateKind) -> datetime | None:
        """When calls of a kind may leave, or ``None`` for now."""
        gate = await self._gates.closed_until(kind)
        own = self._until.get(kind)
        until = max(gate, own) if gate and own else gate or own
        return until if until and until > self._clock.now() else None

    async def may_probe(self, kind: GateKind) -> bool:
        """Whether this caller may try one item although the gate is closed: only a very long gate allows it."""
        return await self._gates.may_probe(kind)

    async def after(self, kind: GateKind, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Set the waits that the verdicts ask for; returns what changes in the run."""
        waits = [verdict for verdict in verdicts if verdict.effect in (Effect.AGAIN, Effect.DOUBT)]
        if not waits:
            return self.cleared()
        pause = max((verdict.pause for verdict in waits if verdict.pause), default=None)
        again = next((verdict for verdict in waits if verdict.effect is Effect.AGAIN), waits[0])
        return await self.obstacle(kind, again.problem or problems.GRAPH_UNAVAILABLE, pause)

    async def obstacle(self, kind: GateKind, problem: Problem, pause: timedelta | None) -> dict[str, Any]:
        """Something stands in the way of the whole request."""
        self._failures += 1
        self._cause = problem.code
        if pause and pause >= _SHORTEST:
            await self._gates.close_for(kind, pause)
        else:
            self._until[kind] = self._clock.now() + growing_pause(self._failures)
        return {"failures": self._failures, "cause": problem.code}

    def cleared(self) -> dict[str, Any]:
        """Nothing stands in the way any more; returns what changes in the run."""
        if not self._failures and not self._cause:
            return {}
        self._failures, self._cause = 0, None
        return {"failures": 0, "cause": None}

    def held_back(self, problem: Problem) -> dict[str, Any]:
        """The operator holds the request back; returns what changes in the run."""
        if self._cause == problem.code:
            return {}
        self._cause = problem.code
        return {"cause": problem.code}
