"""Write quotas: a token bucket, one whose rejects cost, fixed windows, a hidden lower limit."""

from typing import Protocol

from local.tenant.clock import Clock
from local.tenant.settings import QuotaSettings


class Quota(Protocol):
    """Admits or rejects one cost at a time; all times are quota seconds."""

    def admit(self, cost: float) -> bool:
        """Take the cost if it is there."""

    def retry_after(self) -> float:
        """What a rejected caller is told to wait."""

    def used(self) -> float:
        """The share of the limit in use: 1.0 is where throttling starts."""


class Bucket:
    """Holds `capacity`, refills continuously; below the cost a call is rejected.

    `reject_cost` more is taken for each reject (Graph goes on counting while it throttles), down to a debt of one
    whole capacity.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        capacity: float,
        refill: float,
        retry_after: float,
        reject_cost: float = 0,
        full: bool = True,
    ) -> None:
        self._clock = clock
        self._capacity = capacity
        self._refill = refill
        self._retry_after = retry_after
        self._reject_cost = reject_cost
        self._tokens = capacity if full else 0.0
        self._at = clock.quota_seconds()

    def admit(self, cost: float) -> bool:
        """Take the cost, or pay for the reject."""
        self._fill()
        if self._tokens >= cost:
            self._tokens -= cost
            return True
        self._tokens = max(-self._capacity, self._tokens - self._reject_cost)
        return False

    def retry_after(self) -> float:
        """The same for everybody, however long the bucket takes."""
        return self._retry_after

    def used(self) -> float:
        """From 0.0 (full) over 1.0 (empty) to 2.0 (in debt by a whole capacity)."""
        self._fill()
        return 1 - self._tokens / self._capacity if self._capacity else 1.0

    def _fill(self) -> None:
        now = self._clock.quota_seconds()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._refill)
        self._at = now


class Window:
    """Admits `capacity` in each fixed window; a rejected caller is sent to the window's end."""

    def __init__(self, *, clock: Clock, capacity: float, seconds: float) -> None:
        self._clock = clock
        self._capacity = capacity
        self._seconds = seconds
        self._start = clock.quota_seconds()
        self._number = 0
        self._used = 0.0

    def admit(self, cost: float) -> bool:
        """Take the cost from the present window."""
        self._turn()
        if self._used + cost > self._capacity:
            return False
        self._used += cost
        return True

    def retry_after(self) -> float:
        """What is left of the window."""
        self._turn()
        return self._start + (self._number + 1) * self._seconds - self._clock.quota_seconds()

    def used(self) -> float:
        """The share of the present window."""
        self._turn()
        return self._used / self._capacity if self._capacity else 1.0

    def _turn(self) -> None:
        number = int((self._clock.quota_seconds() - self._start) / self._seconds)
        if number > self._number:
            self._number, self._used = number, 0.0


class NoQuota:
    """Admits everything."""

    def admit(self, cost: float) -> bool:
        """Always."""
        del cost
        return True

    def retry_after(self) -> float:
        """Never asked for."""
        return 0.0

    def used(self) -> float:
        """Nothing."""
        return 0.0


def write_quota(settings: QuotaSettings, *, clock: Clock) -> Quota:
    """The quota a model names, untouched."""
    if settings.model == "none":
        return NoQuota()
    if settings.model == "window":
        return Window(clock=clock, capacity=settings.capacity, seconds=settings.window_seconds)
    return Bucket(
        clock=clock,
        capacity=settings.capacity,
        refill=settings.refill,
        retry_after=settings.retry_after,
        reject_cost=0 if settings.model == "bucket" else 1,
        full=settings.model != "empty",
    )


def rate_quota(amount: float, *, clock: Clock, per: float = 10) -> Quota:
    """A bucket of `amount` per `per` seconds; 0 means without limit."""
    if not amount:
        return NoQuota()
    return Bucket(clock=clock, capacity=amount, refill=amount / per, retry_after=per)
