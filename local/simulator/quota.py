"""Write quotas as Microsoft might implement them, resource units, and the books on who called too early.

The published limit (3,000 writes per 150 s for an app in a tenant) fits several shapes; a client has to do well in all.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from local.simulator.clock import Clock
from local.simulator.settings import QuotaSettings

_WINDOW_SECONDS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class Books:
    """Calls that came although a Retry-After they had been given had not passed."""

    violations: int = 0
    largest_seconds: float = 0.0


class WriteQuota:
    """One quota of a chosen model; refused calls cost a unit in some models."""

    def __init__(self, settings: QuotaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._at = clock.quota_seconds()
        self._window_start = self._at
        self._tokens = 0.0 if settings.model == "empty" else settings.capacity

    def take(self) -> float | None:
        """Take one write; `None` when admitted, else the quota seconds after which to come back."""
        model = self._settings.model
        if model == "none":
            return None
        now = self._clock.quota_seconds()
        if model == "window":
            return self._take_from_window(now)
        self._tokens = min(self._settings.capacity, self._tokens + (now - self._at) * self._settings.refill)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        if model in ("rejectsCost", "hidden", "empty"):
            self._tokens = max(-self._settings.capacity, self._tokens - 1)
        return self._settings.retry_after

    @property
    def used(self) -> float:
        """The used share of the quota, 0 to 1."""
        return 1 - max(0.0, self._tokens) / self._settings.capacity if self._settings.capacity else 1.0

    def _take_from_window(self, now: float) -> float | None:
        length = self._settings.window_seconds
        if now - self._window_start >= length:
            self._window_start = now - (now - self._window_start) % length
            self._tokens = self._settings.capacity
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return self._window_start + length - now


class ResourceUnits:
    """Units per ten seconds for everything that is asked."""

    def __init__(self, per_ten_seconds: float, clock: Clock) -> None:
        self._limit = per_ten_seconds
        self._clock = clock
        self._start = clock.quota_seconds()
        self._used = 0.0

    def take(self, cost: int) -> float | None:
        """Take units; `None` when admitted, else the quota seconds until the next ten begin."""
        now = self._clock.quota_seconds()
        if now - self._start >= 10:  # noqa: PLR2004 -- the published period
            self._start, self._used = now, 0.0
        self._used += cost
        return None if self._used <= self._limit else self._start + 10 - now


class SlidingWindow:
    """So many calls in any ten seconds: the strictest reading of a limit "per 10 seconds".

    ``most`` is the largest number of calls that arrived within ten seconds, refused ones included.
    """

    def __init__(self, per_ten_seconds: float, clock: Clock) -> None:
        self._limit = per_ten_seconds
        self._clock = clock
        self._arrived: deque[float] = deque()
        self._admitted: deque[float] = deque()
        self.most = 0

    def take(self) -> float | None:
        """Take one call; `None` when admitted, else the quota seconds until one leaves the window."""
        now = self._clock.quota_seconds()
        for calls in (self._arrived, self._admitted):
            while calls and now - calls[0] >= _WINDOW_SECONDS:
                calls.popleft()
        self._arrived.append(now)
        self.most = max(self.most, len(self._arrived))
        if len(self._admitted) >= self._limit:
            return self._admitted[0] + _WINDOW_SECONDS - now if self._admitted else _WINDOW_SECONDS
        self._admitted.append(now)
        return None


class Gatekeeper:
    """Remembers until when callers were sent away, per kind of call, and books those that come back early."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self.books = Books()

    def sent_away(self, kind: str, seconds: float) -> None:
        """A call was given a Retry-After of so many real seconds."""
        self._until[kind] = max(self._until.get(kind, 0.0), self._clock.real_seconds() + seconds)

    def arrived(self, kind: str) -> None:
        """A call arrives; whether in time is written down, it is served either way."""
        early = self._until.get(kind, 0.0) - self._clock.real_seconds()
        if early > 0:
            self.books.violations += 1
            self.books.largest_seconds = max(self.books.largest_seconds, early)
