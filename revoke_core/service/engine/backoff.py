"""Waiting when Graph says not now: for the shared gate, or in growing pauses of this request's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.responses import Effect, Verdict
from revoke_core.domain.schedules import growing_pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.domain.problems import Problem
    from revoke_core.ports.shared import Clock, GateKind, Gates
    from revoke_core.service.engine.unit_of_work import UnitOfWork

# A shorter Retry-After than this is no pause; without a growing one the app would spin.
_SHORTEST: Final = timedelta(milliseconds=500)
# Beside the two kinds of calls, what some users wait for.
_APART: Final = "apart"


class Backoff:
    """The waits of one run; the run row keeps the latest cause and the failures in a row.

    A failure before the current pause ends was already in flight, so it is not counted again.
    """

    def __init__(self, *, unit: UnitOfWork, gates: Gates, clock: Clock) -> None:
        self._unit = unit
        self._gates = gates
        self._clock = clock
        # Failures of an earlier worker, of which the kind is unknown: the first call that gets through ends them.
        self._inherited = unit.run.failures
        self._failures: dict[GateKind, int] = {}
        # In the order of the latest failure.
        self._causes: dict[str, Problem] = {}
        self._until: dict[GateKind, datetime] = {}
        self._counted_until: dict[GateKind, datetime] = {}

    async def open_from(self, kind: GateKind) -> datetime | None:
        """When calls of a kind may leave, or ``None`` for now. A read may also be due to probe a long gate."""
        gate = await (self._gates.next_try(kind) if kind == "read" else self._gates.closed_until(kind))
        moments = [moment for moment in (gate, self._until.get(kind)) if moment and moment > self._clock.now()]
        return max(moments, default=None)

    def pauses(self, kind: GateKind) -> bool:
        """Whether this request itself pauses calls of a kind, whatever the gate says."""
        until = self._until.get(kind)
        return until is not None and until > self._clock.now()

    def after(self, kind: GateKind, verdicts: Sequence[Verdict], *, others: bool = False) -> bool:
        """Back off as far as the verdicts on one call ask for it; ``others`` says that more users are open than these.

        Returns whether those who have to wait wait apart from the others: Graph answered for a part of the call, or it
        was about one user of many, so that it need not be an outage, and nothing asks the whole request to pause.
        """
        waits = [verdict for verdict in verdicts if verdict.effect in (Effect.RETRY, Effect.AMBIGUOUS)]
        if not waits:
            self.unblocked(kind)
            return False
        pause = max((verdict.pause for verdict in waits if verdict.pause), default=None)
        retried = next((verdict for verdict in waits if verdict.effect is Effect.RETRY), waits[0])
        problem = retried.problem or problems.GRAPH_UNAVAILABLE
        is_partial = len(waits) < len(verdicts)
        if (
            pause is None
            and problem.code == problems.GRAPH_UNAVAILABLE.code
            and (is_partial or (others and len(verdicts) == 1))
        ):
            if is_partial:
                self.unblocked(kind)
            return True
        if is_partial:
            # Graph answered a part of the call, so this is no outage: the pause does not grow.
            self._failures[kind] = 0
        self.blocked(kind, problem, pause)
        return False

    def some_wait(self, *, apart: bool) -> None:
        """Whether users wait apart from the others: what holds them up is then told, although the request goes on."""
        if apart == (_APART in self._causes):
            return
        if apart:
            # Behind whatever blocks the whole request.
            self._causes = {_APART: problems.GRAPH_UNAVAILABLE} | self._causes
        else:
            del self._causes[_APART]
        self._store(self._cause())

    def blocked(self, kind: GateKind, problem: Problem, pause: timedelta | None = None, *, at_least: int = 0) -> None:
        """A problem stops the whole request for now; for a ``pause`` that Graph asked for, ``GatedGraph`` waits.

        ``at_least`` is how often it has failed already, where other calls of the kind got through in between.
        """
        now = self._clock.now()
        asked = pause if pause and pause >= _SHORTEST else None
        failures = max(self._failures.get(kind, self._inherited), at_least)
        if now >= self._counted_until.get(kind, now):
            failures += 1
            self._counted_until[kind] = now + (asked or growing_pause(failures))
        self._failures[kind] = failures
        self._causes.pop(kind, None)
        self._causes[kind] = problem
        if not asked and now >= self._until.get(kind, now):
            self._until[kind] = now + growing_pause(failures)
        self._store(self._cause())

    def unblocked(self, kind: GateKind) -> None:
        """A call of a kind got through."""
        self._inherited = 0
        self._failures.pop(kind, None)
        self._causes.pop(kind, None)
        self._store(self._cause())

    def paused(self) -> None:
        """The operator holds the request back (``REVOKING_PAUSED``)."""
        self._store(problems.PAUSED, failures=self._unit.ahead.failures)

    def resume_from_pause(self) -> None:
        """The operator does not hold the request back any more."""
        if self._unit.ahead.blocked_by == problems.PAUSED.code:
            self._store(self._cause(), failures=self._unit.ahead.failures)

    def _cause(self) -> Problem | None:
        return next(reversed(self._causes.values()), None)

    def _store(self, cause: Problem | None, *, failures: int | None = None) -> None:
        failures = max(self._failures.values(), default=0) if failures is None else failures
        code, graph_code = (cause.code, cause.graph_code) if cause else (None, None)
        ahead = self._unit.ahead
        if (failures, code, graph_code) != (ahead.failures, ahead.blocked_by, ahead.graph_code):
            self._unit.enqueue(failures=failures, blocked_by=code, graph_code=graph_code)
