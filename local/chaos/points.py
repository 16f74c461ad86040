"""Where a host is struck: each point is an exchange on the wire, recognised by ``local.rig.wire``."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from local.rig import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.rig.proxy import Exchange
    from local.rig.rules import Moment

_MOMENTS: Final[tuple[Moment, Moment]] = ("before", "after")
Deed = Literal["none", "kill", "stop", "double"]

_BATCH: Final = 20
# A strike falls well inside what a run has: an undisturbed one says how much that is.
_INSIDE: Final = 0.6
_ROUNDED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One planned fault: at the ``nth`` exchange that matches, before it goes on or after it came back."""

    nth: int
    when: Moment
    matches: Callable[[Exchange], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A named point; ``throttled`` lets the tenant ask for a pause in the middle of the run.

    ``nth`` chooses the exchange from the seed, the number of users and the exchanges of an undisturbed run.
    """

    name: str
    says: str
    deed: Deed
    matches: Callable[[Exchange], bool] = wire.is_work
    when: Moment | None = None
    nth: Callable[[random.Random, int, int], int] = lambda _random, _users, _work: 1
    strikes: int = 1
    least_users: int = 1
    times_users: int = 1
    throttled: bool = False
    share_of_seeds: float = 1.0

    def planned(self, seed: int, users: int, work: int) -> list[Strike]:
        """The strikes of one run, the same for the same seed."""
        if self.deed == "none":
            return []
        chance = random.Random(f"{self.name}/{seed}")  # noqa: S311 -- repeatable chance is what is wanted
        return [
            Strike(
                nth=self.nth(chance, users, work),
                when=self.when if self.when is not None else chance.choice(_MOMENTS),
                matches=self.matches,
            )
            for _ in range(self.strikes)
        ]


def _any_batch(chance: random.Random, users: int, _work: int) -> int:
    return chance.randint(1, max(1, int(users / _BATCH * _INSIDE)))


def _any_exchange(chance: random.Random, _users: int, work: int) -> int:
    # Rounded, for one undisturbed run has a few exchanges more than the next, and a seed should mean the same in both.
    return chance.randint(1, max(1, int(work * _INSIDE) // _ROUNDED * _ROUNDED))


def _soon(chance: random.Random, _users: int, _work: int) -> int:
    return chance.randint(1, 4)


def _second(_chance: random.Random, _users: int, _work: int) -> int:
    return 2


def _kill(
    name: str, says: str, matches: Callable[[Exchange], bool], when: Moment | None = None, **others: Any
) -> Point:
    return Point(name=name, says=says, deed="kill", matches=matches, when=when, **others)


POINTS: Final = (
    Point(name="none", says="never: the measure for the others", deed="none", share_of_seeds=0),
    _kill("claim", "the idempotency key is claimed, and nothing else", wire.claims, "after"),
    _kill("accepted", "the request's row stands, its message does not", wire.accepts, "after"),
    _kill("plan", "the first rows are being written", wire.seeds),
    _kill("seeding", "some rows are written, others are not", wire.seeds, nth=_second, least_users=150),
    _kill("sent", "Graph has the calls, their answer has not come", wire.sends, "after", nth=_any_batch),
    _kill("answered", "the answer has come, the rows are not written", wire.tells_results, "before", nth=_any_batch),
    _kill("written", "the rows are written, the host does not learn it", wire.tells_results, "after", nth=_any_batch),
    _kill("continued", "the message that continues is put", wire.continues, "after", nth=_second, throttled=True),
    _kill("ended", "the last word is written, nothing is tidied up", wire.ends, "after"),
    _kill("random", "it does anything", wire.is_work, nth=_any_exchange),
    Point(name="stop", says="it does anything, and SIGTERM comes", deed="stop", nth=_any_exchange),
    Point(name="double", says="never: messages of both queues come again", deed="double", matches=wire.sends),
    _kill(
        "five", "rows are written, five times in one larger run", wire.tells_results,
        nth=_soon, strikes=5, times_users=3, share_of_seeds=0.1,
    ),
)  # fmt: skip
NAMED: Final = {point.name: point for point in POINTS}
