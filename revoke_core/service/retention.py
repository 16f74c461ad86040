"""The daily timer's work: remove what is older than the retention time, and never an unfinished request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs

if TYPE_CHECKING:
    from revoke_core.log_ports import Archive
    from revoke_core.ports import Clock

# What is not removed within this is removed the next day.
_AT_MOST: Final = timedelta(minutes=4)
# Idempotency keys are promised for 24 hours.
_LEAST_FOR_CLAIMS: Final = timedelta(days=2)


class Retention:
    """Keeps the status log to its time."""

    def __init__(self, *, archive: Archive, clock: Clock, keep: timedelta) -> None:
        self._archive = archive
        self._clock = clock
        self._keep = keep

    async def remove_old(self) -> int:
        """Returns how many requests were removed."""
        began = self._clock.now()
        oldest = began - self._keep
        removed, token, more = 0, None, True
        while more and self._clock.now() - began < _AT_MOST:
            page = await self._archive.accepted_before(oldest, token=token)
            for record in page.items:
                if record.status.is_final and self._clock.now() - began < _AT_MOST:
                    await self._archive.remove(record)
                    removed += 1
            token, more = page.token, page.token is not None
        await self._archive.forget_claims(began - max(self._keep, _LEAST_FOR_CLAIMS))
        logs.event("old_requests_removed", removed=removed)
        return removed
