"""The least time that a write quota allows: arithmetic, without any client.

The five shapes that fit the published limit of 3,000 writes per 150 s
(https://learn.microsoft.com/graph/throttling-limits), as the tenant simulator has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_WINDOW: Final = "window"
_EMPTY: Final = "empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota in quota seconds: ``capacity`` writes at once, ``refill`` more each second, or all per ``window``."""

    model: str
    capacity: float
    refill: float
    window: float

    def times(self, factor: float) -> Quota:
        """The same shape with so many times the writes."""
        return replace(self, capacity=self.capacity * factor, refill=self.refill * factor)

    def bound(self, writes: int, *, idle: float = 0.0) -> float:
        """Quota seconds from the first write to the last when none is wasted.

        ``idle`` are the quota seconds since the quota began: an empty bucket fills in them, a window runs off.
        """
        if self.model == _WINDOW:
            full_windows = math.ceil(writes / self.capacity) - 1
            return max(0.0, full_windows * self.window - idle % self.window) if full_windows else 0.0
        start = min(self.capacity, idle * self.refill) if self.model == _EMPTY else self.capacity
        return max(0.0, (writes - start) / self.refill)

    def admitted(self, seconds: float, *, idle: float = 0.0) -> float:
        """The most writes that so many quota seconds after the first allow."""
        if self.model == _WINDOW:
            return self.capacity * (1 + (idle % self.window + seconds) // self.window)
        start = min(self.capacity, idle * self.refill) if self.model == _EMPTY else self.capacity
        return start + seconds * self.refill


MODELS: Final = {
    "bucket": Quota(model="bucket", capacity=3000, refill=20, window=150),
    "rejectsCost": Quota(model="rejectsCost", capacity=3000, refill=20, window=150),
    "window": Quota(model="window", capacity=3000, refill=20, window=150),
    "hidden": Quota(model="hidden", capacity=500, refill=12, window=150),
    "empty": Quota(model="empty", capacity=3000, refill=20, window=150),
}
