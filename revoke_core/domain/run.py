"""The run row: which worker holds a request, and how far the work has come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from revoke_core.domain.schedules import CLOCK_SKEW, LEASE

if TYPE_CHECKING:
    from revoke_core.domain.problems import Problem
    from revoke_core.domain.user_state import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class SendIntent:
    """Write-ahead record of one call to Graph: its users' positions and when it was announced.

    It is committed before the call leaves and removed with the call's outcome. A worker that takes over and finds one
    does not know whether the call left: its users are ambiguous.
    """

    positions: tuple[int, ...]
    sent_at: datetime


class RunChanges(TypedDict, total=False):
    """The parts of the run row that a worker changes while it works; see ``Run`` for their meaning."""

    owner: str
    lease_until: datetime | None
    due_at: datetime | None
    checkpoint: str | None
    positions: int
    planned: bool
    indexed_to: int
    readable: bool
    verifying: bool
    held_at: datetime | None
    confirmation_waived: bool
    has_unmatched: bool
    cancelled: int
    excluded: int
    failures: int
    blocked_by: str | None
    graph_code: str | None
    warnings: tuple[str, ...]
    refusal: Problem | None
    abort_reason: Problem | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row per request, kept as long as the request.

    Lease: ``owner`` and ``epoch`` name the worker, ``lease_until`` how long other workers stay away, ``due_at`` when
    there is something to do again once no worker holds the lease. ``version`` is the row's ETag and the fencing token:
    a save under an older one raises ``LeaseLost``.

    Planning: ``checkpoint`` is where the sources go on, ``positions`` how many users have rows, ``planned`` that these
    are all, ``indexed_to`` how many are in the index by user. ``readable`` says that Graph lets the app read users.

    Sending: ``intents`` are the calls whose outcome is not committed yet, ``low_watermark`` the position up to which
    no user waits to be sent or settled. ``verifying`` says that cut-offs are read back, so that ``revoked`` is not
    final.

    Confirmation is decided once, whatever the operator sets later: ``held_at`` is since when the request waits for it,
    ``confirmation_waived`` that it need not. ``has_unmatched`` says that an entry which was to keep a user from being
    revoked (``PROTECTED_USERS``, ``exclude``) matches nobody.

    External signals, written by the control routes and merged into the worker's next commit: ``cancel_requested``,
    ``confirmed_at`` and ``confirmed_users`` (the number that was named).

    Trouble: ``refusal`` is why the whole request fails, ``abort_reason`` why its open users do. ``blocked_by`` is the
    code of the transient problem in the way, ``graph_code`` what Graph calls it, and ``failures`` how often in a row it
    was met.
    """

    request_id: str
    owner: str = ""
    epoch: int = 0
    lease_until: datetime | None = None
    due_at: datetime | None = None
    checkpoint: str | None = None
    positions: int = 0
    planned: bool = False
    indexed_to: int = 0
    readable: bool = True
    verifying: bool = False
    intents: tuple[SendIntent, ...] = ()
    low_watermark: int = 0
    held_at: datetime | None = None
    confirmation_waived: bool = False
    has_unmatched: bool = False
    confirmed_at: datetime | None = None
    confirmed_users: int | None = None
    cancel_requested: bool = False
    cancelled: int = 0
    counts: Counts
    excluded: int = 0
    failures: int = 0
    blocked_by: str | None = None
    graph_code: str | None = None
    warnings: tuple[str, ...] = ()
    refusal: Problem | None = None
    abort_reason: Problem | None = None
    version: str | None = None

    def lease_left(self, now: datetime) -> timedelta:
        """How long other workers stay away; zero when no worker holds the lease.

        A lease that ends later than one can was written by a host with a wrong clock and counts as over: should that
        host live, the fencing token stops it.
        """
        left = (self.lease_until or now) - now
        return left if timedelta(0) < left <= LEASE + CLOCK_SKEW else timedelta(0)

    @property
    def is_held(self) -> bool:
        """Whether the request waits for a person to confirm the number of users."""
        return self.held_at is not None and self.confirmed_at is None and not self.cancel_requested

    @property
    def is_looking_up(self) -> bool:
        """Whether it is not known yet how many users the request comes down to, nor whether it is to be held."""
        return not self.planned and not self.held_at and not self.cancel_requested

    @property
    def control_signals(self) -> tuple[bool, datetime | None]:
        """What the control routes have said so far."""
        return self.cancel_requested, self.confirmed_at

    def merge_signals(self, stored: Run) -> Run:
        """This state on top of the stored row: its ETag and control signals."""
        return replace(
            self,
            version=stored.version,
            cancel_requested=stored.cancel_requested,
            confirmed_at=stored.confirmed_at,
            confirmed_users=stored.confirmed_users,
        )
