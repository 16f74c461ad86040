"""When to look again: waiting times after an answer, a loss, a lagging cut-off or an outage."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from revoke_core.domain.results import Doubt, UserRow, UserStatus

CLOCK_SKEW: Final = timedelta(seconds=5)
LIFETIME: Final = timedelta(hours=24)
# How long a found set of users waits for somebody to confirm it.
HELD_LIFETIME: Final = timedelta(hours=24)
LEASE: Final = timedelta(seconds=45)
LONGEST_PAUSE: Final = timedelta(minutes=5)

# A call in doubt is settled by reading this long after it was sent; only then may it be sent again.
SETTLE_READS: Final = {
    doubt: tuple(timedelta(seconds=s) for s in seconds)
    for doubt, seconds in {
        Doubt.LOST: (1, 5, 30, 120),
        # It is not under way any more once the host is gone, and may have been announced and never sent.
        Doubt.CRASH: (1, 5, 30, 60),
        # A server error is an answer: the call has most likely ended, and what is waited for is replication alone.
        Doubt.ERROR: (1, 5, 30),
        # A service that says it is unavailable has most likely done nothing, and is asked again soon.
        Doubt.REFUSED: (1,),
    }.items()
}
# Replication of the cut-off takes seconds to minutes; after the last read the user is failed/unverified.
PROOF_READS: Final = tuple(timedelta(seconds=s) for s in (0, 1, 3, 8, 15, 30, 60, 120, 180, 300, 450, 600))


def next_read(row: UserRow, last_read: datetime | None) -> datetime | None:
    """When the row's cut-off has to be read next, or ``None`` once every planned read has been made.

    ``last_read`` is this worker's own latest read; a worker that has just taken over reads what is due at once.
    """
    if row.sent_at is None:
        return None
    due = [row.sent_at + offset for offset in _offsets(row)]
    return next((moment for moment in due if last_read is None or moment > last_read), None)


def _offsets(row: UserRow) -> tuple[timedelta, ...]:
    if row.status is UserStatus.REVOKED:
        return PROOF_READS
    return SETTLE_READS[row.doubt or Doubt.LOST]


def has_moved(row: UserRow, valid_from: datetime | None) -> bool:
    """Whether a cut-off proves the row's call: not older than its sending, Graph's clock, whole seconds, 5 s skew."""
    if valid_from is None or row.sent_at is None:
        return False
    return valid_from >= row.sent_at.replace(microsecond=0) - CLOCK_SKEW


def settles(row: UserRow, valid_from: datetime | None) -> bool:
    """Whether a cut-off shows that a call in doubt was carried out.

    Stricter than the proof: a cut-off that already stood before the call was sent says nothing about it.
    """
    if not has_moved(row, valid_from):
        return False
    return row.valid_from_before is None or valid_from != row.valid_from_before


def growing_pause(failures: int) -> timedelta:
    """The wait after so many failures in a row without a ``Retry-After``: 1, 2, 4 … seconds, at most 5 minutes."""
    return min(LONGEST_PAUSE, timedelta(seconds=2 ** min(max(failures - 1, 0), 9)))
