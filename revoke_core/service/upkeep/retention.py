"""The daily timer: removes requests older than the retention time, and never an open one."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from revoke_core import logs

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.ports.shared import Clock
    from revoke_core.ports.status_log import RetentionStore

# What is not removed within this is removed the next day: far below the time that the host gives a function.
_AT_MOST: Final = timedelta(minutes=4)
# Requests found at once. Storage lists the youngest first, so all old ones are looked through for the oldest.
_AT_ONCE: Final = 1000


class Retention:
    """Removes old requests, the oldest first."""

    def __init__(self, *, store: RetentionStore, clock: Clock, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep

    async def remove_old(self) -> int:
        """Returns how many requests were removed."""
        began = self._clock.now()

        def in_time() -> bool:
            return self._clock.now() - began < _AT_MOST

        removed, unreadable = 0, set[str]()
        while in_time() and (oldest := await self._oldest(began - self._keep, but=unreadable)):
            for record in oldest:
                try:
                    removed += in_time() and await self._store.remove(record, in_time=in_time)
                except (KeyError, TypeError, ValueError) as problem:
                    # A row is damaged, or of a later version of the app: no reason to keep all that are younger.
                    logs.failure("request_unreadable", problem, requestId=record.id)
                    unreadable.add(record.id)
        await self._store.delete_evidence_markers(began - self._keep)
        logs.event("old_requests_removed", removed=removed)
        return removed

    async def _oldest(self, before: datetime, *, but: set[str]) -> list[RequestRecord]:
        """The oldest ended requests first, so that none waits for ever behind those that come of age each day."""
        found: deque[RequestRecord] = deque(maxlen=_AT_ONCE)
        token, more = None, True
        while more:
            page = await self._store.accepted_before(before, token=token)
            found.extend(record for record in page.items if record.status.is_final and record.id not in but)
            token, more = page.token, page.token is not None
        return list(reversed(found))
