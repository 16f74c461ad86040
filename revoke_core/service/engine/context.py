"""All that one worker knows of one run: the context that planner, sender, verifier, loop and finalizer work on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from revoke_core.domain.lanes import Lane
from revoke_core.domain.schedules import LIFETIME
from revoke_core.service.engine.tasks import Tasks

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from revoke_core.domain.pacing import ConcurrencyLimit
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.domain.seen_users import SeenUsers
    from revoke_core.service.engine.backoff import Backoff
    from revoke_core.service.engine.lookup import Lookup
    from revoke_core.service.engine.names import NamesFound
    from revoke_core.service.engine.unit_of_work import UnitOfWork
    from revoke_core.service.engine.working_set import WorkingSet

SMALL_REQUEST: Final = 20


@dataclass(slots=True, kw_only=True)
class PlanningState:
    """``lookup`` holds answers of an earlier try, ``exclusion`` whom the request excludes.

    ``seen`` has the users of earlier pages, which one task at a time loads.

    ``late`` looks up users whose page was planned without them.
    ``has_leftovers`` says that rows of an unfinished page may stand behind those that count.
    """

    lookup: Lookup | None = None
    exclusion: NamesFound | None = None
    page: asyncio.Task[None] | None = None
    indexing: asyncio.Task[None] | None = None
    late: asyncio.Task[None] | None = None
    seen: SeenUsers | None = None
    loading_seen: asyncio.Lock = field(default_factory=asyncio.Lock)
    has_leftovers: bool = False


@dataclass(slots=True)
class SendingState:
    """Calls in flight, how many may be, and how long the latest took."""

    calls: set[asyncio.Task[None]] = field(default_factory=set)
    limit: ConcurrencyLimit | None = None
    call_seconds: float = 0.0


@dataclass(slots=True)
class ReadingState:
    """Reads in progress, and whether this worker has made one."""

    reads: set[asyncio.Task[None]] = field(default_factory=set)
    has_read: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One worker's go at one request.

    ``unit.run`` is the run row as committed, ``unit.ahead`` as it will be once all queued writes are;
    ``users`` are the open users in memory. The worker stops at ``until``, or when nothing is due for ``max_idle``.
    """

    record: RequestRecord
    request: RevocationRequest
    unit: UnitOfWork
    users: WorkingSet
    backoff: Backoff
    until: datetime
    max_idle: timedelta
    planning: PlanningState = field(default_factory=PlanningState)
    sending: SendingState = field(default_factory=SendingState)
    reading: ReadingState = field(default_factory=ReadingState)
    tasks: Tasks = field(default_factory=Tasks)

    @property
    def lane(self) -> Lane:
        """By what the request turned out to be: one that names at most 20 users has the lane it was admitted to."""
        is_small = self.request.is_named_only and self.record.counts.total <= SMALL_REQUEST
        return self.record.lane if is_small else Lane.LARGE

    @property
    def expires_at(self) -> datetime:
        """From when on no user is sent any more: a day after acceptance, or after confirmation."""
        return (self.unit.run.confirmed_at or self.record.requested_at) + LIFETIME

    @property
    def is_planning_page(self) -> bool:
        """Whether a page is being planned, or its rows written."""
        return self.planning.page is not None and not self.planning.page.done()

    @property
    def is_looking_up_late(self) -> bool:
        """Whether deferred users are being looked up."""
        return self.planning.late is not None and not self.planning.late.done()

    @property
    def calls(self) -> int:
        """How many calls are in flight."""
        self.sending.calls.difference_update([call for call in self.sending.calls if call.done()])
        return len(self.sending.calls)

    @property
    def reads(self) -> int:
        """How many reads are in progress."""
        self.reading.reads.difference_update([read for read in self.reading.reads if read.done()])
        return len(self.reading.reads)
