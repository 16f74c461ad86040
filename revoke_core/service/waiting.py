"""What to do when Graph says not now: wait for the shared gate, or pause this request a little longer each time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import problems
from revoke_core.domain.schedules import growing_pause
from revoke_core.domain.verdicts import Effect, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.results import Problem
    from revoke_core.domain.run import Run
    from revoke_core.ports import Clock, GateKind, Gates

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


def warnings_of(run: Run) -> tuple[str, ...]:
    """What an unfinished request warns of: what stays true, and what stands in its way now."""
    now = TRANSIENT.get(run.cause or "")
    return (*run.warnings, f"{now.message} {now.hint}") if now else run.warnings


class Pauses:
    """The waits of one worker's go at one request; the cause is kept in the run, in case it never gets through."""

    def __init__(self, *, run: Run, gates: Gates, clock: Clock) -> None:
        self._gates = gates
        self._clock = clock
        self._told = (run.failures, run.cause)
        # Another worker's, of which nobody knows the kind: whatever gets through ends them.
        self._inherited = run.failures
        self._failures: dict[GateKind, int] = {}
        # The latest obstacle's is the last one.
        self._causes: dict[GateKind, str] = {}
        self._until: dict[GateKind, datetime] = {}
        self._counted_until: dict[GateKind, datetime] = {}

    async def open_from(self, kind: GateKind) -> datetime | None:
        """When calls of a kind may leave, or ``None`` for now. A read may find that it is the one to probe the gate."""
        gate = await (self._gates.next_try(kind) if kind == "read" else self._gates.closed_until(kind))
        own = self._until.get(kind)
        until = max(gate, own) if gate and own else gate or own
        return until if until and until > self._clock.now() else None

    def waits(self, kind: GateKind) -> bool:
        """Whether this request itself has to wait, whatever the gate says."""
        own = self._until.get(kind)
        return own is not None and own > self._clock.now()

    async def may_probe(self, kind: GateKind) -> bool:
        """Whether this caller may try one item although the gate is closed: only a very long gate allows it."""
        return await self._gates.may_probe(kind)

    async def after(self, kind: GateKind, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """Set the waits that the verdicts ask for; returns what changes in the run."""
        waits = [verdict for verdict in verdicts if verdict.effect in (Effect.AGAIN, Effect.DOUBT)]
        if not waits:
            return self.cleared(kind)
        if len(waits) < len(verdicts):
            # What lets a part of a call through is no outage: the pause does not grow.
            self._failures[kind] = 0
        pause = max((verdict.pause for verdict in waits if verdict.pause), default=None)
        again = next((verdict for verdict in waits if verdict.effect is Effect.AGAIN), waits[0])
        return await self.obstacle(kind, again.problem or problems.GRAPH_UNAVAILABLE, pause)

    async def obstacle(self, kind: GateKind, problem: Problem, pause: timedelta | None) -> dict[str, Any]:
        """Something stands in the way of the whole request; whoever was asked for a ``pause`` has closed the gate.

        What fails before the pause for it is over was on its way already, and tells nothing new.
        """
        now = self._clock.now()
        asked = pause if pause and pause >= _SHORTEST else None
        failures = self._failures.get(kind, self._inherited)
        if now >= self._counted_until.get(kind, now):
            failures += 1
            self._counted_until[kind] = now + (asked or growing_pause(failures))
        self._failures[kind] = failures
        self._causes.pop(kind, None)
        self._causes[kind] = problem.code
        if not asked and now >= self._until.get(kind, now):
            self._until[kind] = now + growing_pause(failures)
        return self._standing()

    def cleared(self, kind: GateKind) -> dict[str, Any]:
        """Something of a kind got through, so nothing stands in its way any more; returns what changes in the run."""
        self._inherited = 0
        self._failures.pop(kind, None)
        self._causes.pop(kind, None)
        before = self._told
        changes = self._standing()
        return changes if self._told != before else {}

    def held_back(self, problem: Problem) -> dict[str, Any]:
        """The operator holds the request back; returns what changes in the run."""
        failures, cause = self._told
        if cause == problem.code:
            return {}
        self._told = (failures, problem.code)
        return {"cause": problem.code}

    def let_go(self, problem: Problem) -> dict[str, Any]:
        """The operator does not hold the request back any more; returns what changes in the run."""
        failures, cause = self._told
        if cause != problem.code:
            return {}
        self._told = (failures, next(reversed(self._causes.values()), None))
        return {"cause": self._told[1]}

    def _standing(self) -> dict[str, Any]:
        """What stands in the way of calls of either kind, as the run says it."""
        failures, cause = max(self._failures.values(), default=0), next(reversed(self._causes.values()), None)
        self._told = (failures, cause)
        return {"failures": failures, "cause": cause}
