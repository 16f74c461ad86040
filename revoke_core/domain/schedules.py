"""How long things may take: leases, lifetimes, growing pauses."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

CLOCK_SKEW: Final = timedelta(seconds=5)
# How old a request may be when its users are sent, counted from acceptance or confirmation.
LIFETIME: Final = timedelta(hours=24)
# How long a held request waits for a person to confirm it.
HELD_LIFETIME: Final = timedelta(hours=24)
LEASE: Final = timedelta(seconds=45)
# After a lease has ended, or a work message is overdue for so long, the timer redrives the request.
REDRIVE_MARGIN: Final = timedelta(seconds=1)
MESSAGE_GRACE: Final = timedelta(seconds=15)
# A request that waits for a person is looked at this often all the same, should the signal have been lost.
LONGEST_UNWATCHED: Final = timedelta(minutes=15)
LONGEST_PAUSE: Final = timedelta(minutes=5)


def growing_pause(failures: int) -> timedelta:
    """The wait after so many failures in a row without a ``Retry-After``: 1, 2, 4 … seconds, at most 5 minutes."""
    return min(LONGEST_PAUSE, timedelta(seconds=2 ** min(max(failures - 1, 0), 9)))
