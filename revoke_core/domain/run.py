"""How far the work on a request has come, and who does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from revoke_core.domain.schedules import CLOCK_SKEW, LEASE

if TYPE_CHECKING:
    from revoke_core.domain.results import Counts, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Users of one call to Graph that was announced and is not settled: the write-ahead mark."""

    positions: tuple[int, ...]
    sent_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The one row per request that says who works on it and how far it has come; it stays as long as the request.

    ``version`` is the storage's own mark of this state: a save under an older one is refused (``LeaseLost``), which is
    the fence against a worker that was given up for dead. ``next_at`` is when there is something to do again.

    Planning: ``checkpoint`` is where the sources go on, ``positions`` how many users have their rows, ``planned`` that
    these are all, ``indexed_to`` how many are entered by user. Sending: ``flights`` are the calls whose outcome is not
    written yet, ``done_to`` the position up to which nobody waits to be sent. Proof: ``proving`` says that cut-offs
    can be read, so that ``revoked`` is not the last word.

    Whether found users wait for somebody is decided once, whatever the operator sets later: ``held_at`` says since when
    they do, ``unheld`` that they need not.

    ``cancel_requested``, ``confirmed_at`` and ``confirmed_users`` (the number that was named) are set from outside, by
    whoever may; the worker adopts them with its next save. ``refusal`` is why the whole request fails, ``stopped`` why
    the users still open do.
    """

    request_id: str
    owner: str = ""
    epoch: int = 0
    lease_until: datetime | None = None
    next_at: datetime | None = None
    checkpoint: str | None = None
    positions: int = 0
    planned: bool = False
    indexed_to: int = 0
    proving: bool = False
    flights: tuple[Flight, ...] = ()
    done_to: int = 0
    held_at: datetime | None = None
    unheld: bool = False
    confirmed_at: datetime | None = None
    confirmed_users: int | None = None
    cancel_requested: bool = False
    cancelled: int = 0
    counts: Counts
    excluded: int = 0
    failures: int = 0
    cause: str | None = None
    warnings: tuple[str, ...] = ()
    refusal: Problem | None = None
    stopped: Problem | None = None
    version: str | None = None

    def lease_left(self, now: datetime) -> timedelta:
        """How long others have to leave the request alone; nothing when nobody holds it.

        A lease that ends later than one can was written by a host whose clock is wrong, and counts as over: should that
        host live, the fence holds against it.
        """
        left = (self.lease_until or now) - now
        return left if timedelta(0) < left <= LEASE + CLOCK_SKEW else timedelta(0)

    @property
    def is_held(self) -> bool:
        """Whether somebody has to confirm the number of users first."""
        return self.held_at is not None and self.confirmed_at is None and not self.cancel_requested

    @property
    def said(self) -> tuple[bool, datetime | None]:
        """What was said from outside."""
        return self.cancel_requested, self.confirmed_at

    def hearing(self, stored: Run) -> Run:
        """This state on top of the stored one: its version, and what was said from outside meanwhile."""
        return replace(
            self,
            version=stored.version,
            cancel_requested=stored.cancel_requested,
            confirmed_at=stored.confirmed_at,
            confirmed_users=stored.confirmed_users,
        )
