"""The fault points: each is an exchange with storage or Graph, recognised by ``local.testbed.exchanges``."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from local.testbed import exchanges

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.testbed.interceptor import Phase
    from local.testbed.proxy import Exchange

_PHASES: Final[tuple[Phase, Phase]] = ("before", "after")
FaultKind = Literal["none", "kill", "stop", "double"]

_BATCH: Final = 20
# A fault falls well inside the exchanges of a run; the undisturbed run counts how many there are.
_INSIDE: Final = 0.6
_ROUNDED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One fault of a run: at the ``nth`` exchange that matches, before it is forwarded or after it was answered."""

    nth: int
    phase: Phase
    matches: Callable[[Exchange], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPoint:
    """A named point; ``throttled`` lets the tenant ask for a pause in the middle of the run.

    ``nth`` chooses the exchange from the seed, the number of users and the exchanges of an undisturbed run.
    """

    name: str
    description: str
    kind: FaultKind
    matches: Callable[[Exchange], bool] = exchanges.is_work
    phase: Phase | None = None
    nth: Callable[[random.Random, int, int], int] = lambda _random, _users, _work: 1
    count: int = 1
    least_users: int = 1
    times_users: int = 1
    throttled: bool = False
    share_of_seeds: float = 1.0

    def plan_faults(self, seed: int, users: int, work: int) -> list[PlannedFault]:
        """The faults of one run, the same for the same seed."""
        if self.kind == "none":
            return []
        chance = random.Random(f"{self.name}/{seed}")  # noqa: S311 -- repeatable chance is what is wanted
        return [
            PlannedFault(
                nth=self.nth(chance, users, work),
                phase=self.phase if self.phase is not None else chance.choice(_PHASES),
                matches=self.matches,
            )
            for _ in range(self.count)
        ]


def _any_batch(chance: random.Random, users: int, _work: int) -> int:
    return chance.randint(1, max(1, int(users / _BATCH * _INSIDE)))


def _any_exchange(chance: random.Random, _users: int, work: int) -> int:
    # Rounded: the number of exchanges varies a little between undisturbed runs, and a seed must plan the same fault.
    return chance.randint(1, max(1, int(work * _INSIDE) // _ROUNDED * _ROUNDED))


def _soon(chance: random.Random, _users: int, _work: int) -> int:
    return chance.randint(1, 4)


def _second(_chance: random.Random, _users: int, _work: int) -> int:
    return 2


def _kill(
    name: str, description: str, matches: Callable[[Exchange], bool], phase: Phase | None = None, **others: Any
) -> FaultPoint:
    return FaultPoint(name=name, description=description, kind="kill", matches=matches, phase=phase, **others)


POINTS: Final = (
    FaultPoint(name="none", description="never: the measure for the others", kind="none", share_of_seeds=0),
    _kill("arrived", "the request has come, nothing is stored", exchanges.is_request_creation, "before"),
    _kill("accepted", "the request is stored, its message is not sent", exchanges.is_request_creation, "after"),
    _kill("plan", "the first rows are being written", exchanges.is_plan_commit),
    _kill("seeding", "some rows are written, others are not", exchanges.is_plan_commit, nth=_second, least_users=150),
    _kill("sent", "Graph has the calls, their answer has not come", exchanges.is_revoke_call, "after", nth=_any_batch),
    _kill("answered", "the answer has come, no row is written", exchanges.is_result_commit, "before", nth=_any_batch),
    _kill("written", "rows are written, the host does not know", exchanges.is_result_commit, "after", nth=_any_batch),
    _kill("continued", "a later message is sent", exchanges.is_work_message, "after", nth=_second, throttled=True),
    _kill("ended", "the final status is written, the host does not know", exchanges.is_request_end, "after"),
    _kill("random", "it does anything", exchanges.is_work, nth=_any_exchange),
    FaultPoint(
        name="stop",
        description="it does anything, SIGTERM comes, and what runs ends with the process",
        kind="stop",
        nth=_any_exchange,
    ),
    FaultPoint(
        name="double",
        description="never: messages of both queues are delivered again",
        kind="double",
        matches=exchanges.is_revoke_call,
    ),
    _kill(
        "five",
        "rows are written, five times in one larger run",
        exchanges.is_result_commit,
        nth=_soon,
        count=5,
        times_users=3,
        share_of_seeds=0.1,
    ),
)
NAMED: Final = {point.name: point for point in POINTS}
