"""The two times of the simulator: the wall clock Graph shows, and the clock its quotas run on."""

import time
from datetime import UTC, datetime
from email.utils import formatdate


def stamp(seconds: float) -> str:
    """A moment as Graph writes a DateTimeOffset without fraction, e.g. `2026-09-10T14:32:27Z`."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fine_stamp(seconds: float) -> str:
    """A moment with milliseconds, e.g. `2026-09-10T14:32:27.459Z`."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def audit_stamp(seconds: float) -> str:
    """A moment with the seven digits directory audits carry, e.g. `2026-09-10T14:32:27.4592250Z`."""
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def seconds_of(text: str) -> float:
    """The Unix time of an RFC 3339 moment; ValueError if it is none."""
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


class Clock:
    """Real time for what a client sees, scaled time for what a quota counts.

    A scale of N makes quota time run N times faster, so that a test of a 150 s window need not take 150 s. Cut-offs
    and `Date` headers stay on the wall clock (plus `skew` seconds): a client compares them with its own clock.
    """

    def __init__(self) -> None:
        self.skew = 0.0
        self._scale = 1.0
        self._quota_base = 0.0
        self._real_base = time.monotonic()

    @property
    def scale(self) -> float:
        """How many quota seconds pass in a real one."""
        return self._scale

    def rescale(self, scale: float) -> None:
        """Let quota time run at another speed from now on; what has passed stays passed."""
        self._quota_base = self.quota_seconds()
        self._real_base = time.monotonic()
        self._scale = scale

    def now(self) -> float:
        """Graph's wall clock in Unix seconds."""
        return time.time() + self.skew

    def real_seconds(self) -> float:
        """A monotonic clock in real seconds."""
        return time.monotonic()

    def quota_seconds(self) -> float:
        """Quota time in seconds since the start."""
        return self._quota_base + (time.monotonic() - self._real_base) * self._scale

    def date_header(self) -> str:
        """The `Date` header of an answer given now."""
        return formatdate(self.now(), usegmt=True)
