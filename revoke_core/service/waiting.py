"""What to do when Graph says not now: close the shared gate, or pause this request a little longer each time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import problems
from revoke_core.domain.schedules import growing_pause
from revoke_core.domain.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.results import Problem
    from revoke_core.ports import Clock, GateKind, Gates
    from revoke_core.service.run_in_hand import RunInHand

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


class Waiting:
    """Turns verdicts into gates and pauses; remembers the cause in the run, for a request that never gets through."""

    def __init__(self, *, gates: Gates, clock: Clock) -> None:
        self._gates = gates
        self._clock = clock

    async def after(self, hand: RunInHand, kind: GateKind, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Set the waits that the verdicts ask for; returns what changes in the run."""
        waits = [verdict for verdict in verdicts if verdict.effect in (Effect.AGAIN, Effect.DOUBT)]
        if not waits:
            return {"failures": 0, "cause": None} if hand.run.failures or hand.run.cause else {}
        pause = max((verdict.pause for verdict in waits if verdict.pause), default=None)
        again = next((verdict for verdict in waits if verdict.effect is Effect.AGAIN), waits[0])
        return await self.obstacle(hand, kind, again.problem or problems.GRAPH_UNAVAILABLE, pause)

    async def obstacle(
        self, hand: RunInHand, kind: GateKind, problem: Problem, pause: timedelta | None
    ) -> dict[str, Any]:
        """Something stands in the way of the whole request."""
        failures = hand.run.failures + 1
        if pause and pause >= _SHORTEST:
            await self._gates.close_for(kind, pause)
        else:
            hand.pause_until = self._clock.now() + growing_pause(failures)
        return {"failures": failures, "cause": problem.code}
