"""Whether a new request may be made now, and in which lane it goes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import ProtectionUnavailable, RevokingPaused, TooManyOpen
from revoke_core.domain.lanes import SHARE, Lane
from revoke_core.domain.problems import PROTECTED_UNREADABLE
from revoke_core.service.engine.protection import ProtectedListUnreadable

if TYPE_CHECKING:
    from revoke_core.ports.shared import Clock, OpenRequests
    from revoke_core.service.engine.protection import ProtectedUsers

_PROTECTED_RETRY_SECONDS: Final = 60
_TOO_MANY_RETRY_SECONDS: Final = 30
_PAUSED_RETRY_SECONDS: Final = 60
# A count is read again when it is older: other instances accept requests too, and requests end.
_COUNT_FRESH: Final = timedelta(seconds=5)
_CALLERS_KEPT: Final = 1000


@dataclass(slots=True)
class _Count:
    """Open requests of a caller as read from storage, and those admitted here since."""

    read_at: datetime
    open: int


class Admission:
    """Guards what is new; a request that was accepted before is never asked for it again.

    ``refuses_new`` is ``REVOKING_PAUSED=refuse``; ``most_open`` is how many requests one caller may have open. The open
    markers are counted by caller at most every five seconds, so a caller that is quick, or uses several instances, may
    go some requests beyond it.
    """

    def __init__(
        self,
        *,
        protected: ProtectedUsers,
        open_requests: OpenRequests,
        clock: Clock,
        most_open: int,
        refuses_new: bool = False,
    ) -> None:
        self._protected = protected
        self._refuses_new = refuses_new
        self._open_requests = open_requests
        self._clock = clock
        self._most_open = most_open
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    async def check(self, *, dry_run: bool, may_wait: bool) -> None:
        """``RevokingPaused`` while new requests are refused, ``ProtectionUnavailable`` without a protected list.

        A dry run changes nothing, so no pause refuses it. A request that ``may_wait`` waits for the list itself.
        """
        if self._refuses_new and not dry_run:
            raise RevokingPaused(
                "New requests are refused while revoking is paused (REVOKING_PAUSED=refuse), and nothing of this one "
                "was kept. An operator of this app has to set REVOKING_PAUSED to false; send the request again after "
                "that, with the same Idempotency-Key. Dry runs and questions are answered meanwhile.",
                retry_after=_PAUSED_RETRY_SECONDS,
            )
        if may_wait:
            return
        try:
            await self._protected.current()
        except ProtectedListUnreadable as unreadable:
            problem = PROTECTED_UNREADABLE
            detail = f"{problem.message} {unreadable} {problem.hint}"
            raise ProtectionUnavailable(detail, retry_after=_PROTECTED_RETRY_SECONDS) from None

    async def admit(self, caller: str, *, is_small: bool) -> Lane:
        """The lane of one more request of a caller, which counts from now on; ``TooManyOpen`` beyond its limit."""
        count = await self._count(caller)
        if count.open >= self._most_open:
            raise TooManyOpen(
                f"This caller has {self._most_open:,} requests open, as many as it may (MAX_OPEN_REQUESTS_PER_CALLER). "
                "Nothing was accepted. Repeat the call with the same Idempotency-Key once some have ended, name many "
                "users in one request, or end what is not meant with POST /api/revocations/cancel.",
                retry_after=_TOO_MANY_RETRY_SECONDS,
            )
        count.open += 1
        if not is_small:
            return Lane.LARGE
        return Lane.SMALL if count.open <= SHARE else Lane.BEYOND_SHARE

    def ended(self, caller: str) -> None:
        """A request that was admitted here has ended."""
        if (count := self._counts.get(caller)) and count.open:
            count.open -= 1

    async def _count(self, caller: str) -> _Count:
        now = self._clock.now()
        count = self._counts.get(caller)
        # A moment in the future is from before the clock was set back.
        if count is None or not now - _COUNT_FRESH < count.read_at <= now:
            count = _Count(now, await self._open_requests.count(caller, self._most_open, now))
            self._counts[caller] = count
            if len(self._counts) > _CALLERS_KEPT:
                self._counts.popitem(last=False)
        return count
