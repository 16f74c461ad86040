"""What tests of the engine hold: the status log on an emulator, a clock set by unit, a worker over real parts."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from revoke_core.adapters.callback_receivers import HttpCallbackReceivers
from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph.client import MicrosoftGraph
from revoke_core.adapters.graph.identity import GraphIdentity
from revoke_core.adapters.graph.transport import GraphTransport
from revoke_core.adapters.pacing.budget import StoredBudget
from revoke_core.adapters.pacing.gates import StoredGates
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.adapters.queue import StorageWorkQueue
from revoke_core.adapters.tables.callback_markers import TableCallbackMarkers
from revoke_core.adapters.tables.open_requests import TableOpenRequests
from revoke_core.adapters.tables.protected_list import TableProtectedList
from revoke_core.adapters.tables.shared_facts import TableTokenHistory
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.callback import CallbackRules
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import new_request_id, parse_user
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import Counts, UserRow, UserStatus
from revoke_core.service.engine.finalizer import Finalizer
from revoke_core.service.engine.gated_graph import GatedGraph
from revoke_core.service.engine.late_lookups import LateLookups
from revoke_core.service.engine.lookup import UserLookup
from revoke_core.service.engine.loop import Stages
from revoke_core.service.engine.planner import Planner
from revoke_core.service.engine.protection import ProtectedUsers
from revoke_core.service.engine.sender import Sender
from revoke_core.service.engine.sources import Sources
from revoke_core.service.engine.unit_of_work import UnitOfWork
from revoke_core.service.engine.verifier import Verifier
from revoke_core.service.engine.worker import OperatorLimits, Worker
from revoke_core.service.upkeep.callbacks import Callbacks
from revoke_core.service.upkeep.sweeper import Sweeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest
    from revoke_core.domain.responses import Answer
    from revoke_core.ports.shared import Clock
    from revoke_core.ports.status_log import Claim, IdempotencyKey

NOON = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)
LIMITS = OperatorLimits(max_unconfirmed=100, paused=False)
NO_CALLBACKS = CallbackRules()


@dataclass
class HandSetClock:
    """Stands still until a test moves it."""

    moment: datetime = NOON

    def now(self) -> datetime:
        """Where it was set to."""
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        """A wait moves it."""
        self.moment = max(self.moment, moment)


@dataclass
class Saved:
    """One transaction: the run as it was to be, and its rows."""

    run: Run
    rows: list[UserRow]


class WatchedLog(TableStatusLog):
    """The real status log; what is saved is noted, and a test may step in before a save or stop storage after some."""

    def __init__(self, *, storage: Storage) -> None:
        super().__init__(storage=storage)
        self.saves: list[Saved] = []
        self.saves_left: int | None = None
        self.before_save: Callable[[Run], Awaitable[None]] | None = None
        self.after_page: Callable[[UserStatus], Awaitable[None]] | None = None

    async def create_request(
        self,
        record: RequestRecord,
        request: RevocationRequest | None,
        *,
        redrive_at: datetime | None = None,
        key: IdempotencyKey | None = None,
    ) -> Claim | None:
        """As the port; without a moment of its own the timer redrives the request when a lease would end."""
        is_open = not record.status.is_final
        moment = redrive_at or (record.requested_at + LEASE if is_open else None)
        return await super().create_request(record, request, redrive_at=moment, key=key)

    async def save_run(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """As the port, unless storage has been stopped."""
        if self.before_save:
            await self.before_save(run)
        if self.saves_left is not None:
            if self.saves_left == 0:
                raise Unavailable("The storage was stopped by the test.")
            self.saves_left -= 1
        saved = await super().save_run(run, rows)
        self.saves.append(Saved(saved, list(rows)))
        return saved

    async def list_waiting(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """As the port; what happens now is news to whoever holds the page."""
        page = await super().list_waiting(request_id, status, after=after, limit=limit)
        if self.after_page:
            await self.after_page(status)
        return page

    async def all_rows(self, request_id: str) -> list[UserRow]:
        """Every user of a request."""
        return [row async for row in self.iter_users(request_id)]


class WatchedGraph(MicrosoftGraph):
    """The real adapter; who has been read is noted."""

    def __init__(self, *, transport: GraphTransport, identity: GraphIdentity) -> None:
        super().__init__(transport=transport, identity=identity)
        self.read: set[str] = set()
        self.was_read = asyncio.Condition()
        self.before_read: Callable[[], None] | None = None

    async def read_users(self, users: Sequence[UserRef]) -> list[Answer]:
        """As the port."""
        if self.before_read:
            self.before_read()
        answers = await super().read_users(users)
        async with self.was_read:
            self.read |= {user.key for user in users}
            self.was_read.notify_all()
        return answers


def new_record(requested_at: datetime, **more: Any) -> RequestRecord:
    """A request that was just accepted."""
    given: dict[str, Any] = {"status": RequestStatus.ACCEPTED, "source": "http"}
    given |= {"requested_by": RequestedBy(kind="local")} | more
    return RequestRecord(id=new_request_id(requested_at), requested_at=requested_at, **given)


def users(first: int, last: int, **more: Any) -> list[UserRow]:
    """Users at these positions."""
    return [UserRow(position=place, given=f"user{place}@contoso.com", **more) for place in range(first, last + 1)]


def counted(rows: Sequence[UserRow], *, duplicates: int = 0) -> Counts:
    """What the counts of these rows have to be."""
    numbers = Counter(row.status.value for row in rows)
    return Counts(total=len(rows), duplicates=duplicates, **numbers)


def new_unit(log: TableStatusLog, clock: Clock) -> UnitOfWork:
    """A request of its own that nobody has begun, in the unit of its first worker."""
    run = Run(request_id=new_request_id(datetime.now(UTC)), owner="first", epoch=1, counts=Counts())
    return UnitOfWork(run=run, log=log, clock=clock)


async def stored_run(log: TableStatusLog, request_id: str) -> Run:
    """The run row, which has to be there."""
    run = await log.get_run(request_id)
    assert run is not None
    return run


def same_counts(run: Run, rows: Sequence[UserRow]) -> None:
    """The promise that holds at any moment."""
    assert asdict(run.counts) == asdict(counted(rows, duplicates=run.counts.duplicates))


@dataclass
class Engine:
    """A worker over real parts, against a tenant of the test's own."""

    storage: Storage
    root: str
    clock: Clock = field(default_factory=SystemClock)
    limits: OperatorLimits = LIMITS
    max_users: int = 100_000

    def __post_init__(self) -> None:
        self.identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=self.clock)
        self.transport = GraphTransport(endpoint=self.root, identity=self.identity, clock=self.clock)
        self.graph = WatchedGraph(transport=self.transport, identity=self.identity)
        self.log = WatchedLog(storage=self.storage)
        self.index = TableUserIndex(storage=self.storage)
        self.open_requests = TableOpenRequests(storage=self.storage, keep=timedelta(days=400))
        self.tokens = TableTokenHistory(storage=self.storage, clock=self.clock)
        self.queue = StorageWorkQueue(storage=self.storage)
        self.receivers = HttpCallbackReceivers()
        row = SharedPaceRow(storage=self.storage, clock=self.clock)
        self.gates = StoredGates(row=row, clock=self.clock)
        self.budget = StoredBudget(row=row, clock=self.clock, quota=3000)
        self.gated = GatedGraph(graph=self.graph, gates=self.gates, budget=self.budget, clock=self.clock)
        self.sources = Sources(log=self.log, graph=self.gated)
        # Of this test alone: what another one has read must not count here.
        self.kept = TableProtectedList(storage=self.storage, row=secrets.token_hex(8))
        self.protect()

    def protect(self, *users: str, group: str | None = None, strict: bool = False) -> None:
        """What an operator sets; it counts for workers made from here on. What was read before is kept."""
        named = [user for user in map(parse_user, users) if user]
        self.protected = ProtectedUsers(
            users=named, group=group, graph=self.gated, store=self.kept, clock=self.clock, strict=strict
        )
        self.lookup = UserLookup(graph=self.gated, protected=self.protected)

    def planner(self) -> Planner:
        """The stage that plans."""
        return Planner(
            sources=self.sources, lookup=self.lookup, log=self.log, index=self.index, max_users=self.max_users
        )

    def sender(self) -> Sender:
        """The stage that sends."""
        return Sender(
            graph=self.gated,
            gates=self.gates,
            budget=self.budget,
            tokens=self.tokens,
            protected=self.protected,
            clock=self.clock,
            paused=self.limits.paused,
        )

    def verifier(self) -> Verifier:
        """The stage that reads cut-offs back."""
        return Verifier(graph=self.gated, clock=self.clock)

    def finalizer(self) -> Finalizer:
        """The stage that ends or releases a run."""
        return Finalizer(log=self.log, open_requests=self.open_requests, queue=self.queue, clock=self.clock)

    def worker(self) -> Worker:
        """A worker with nothing in memory."""
        return Worker(
            log=self.log,
            open_requests=self.open_requests,
            gates=self.gates,
            stages=Stages(
                planner=self.planner(),
                late_lookups=LateLookups(lookup=self.lookup, log=self.log, index=self.index, clock=self.clock),
                sender=self.sender(),
                verifier=self.verifier(),
                finalizer=self.finalizer(),
            ),
            clock=self.clock,
            limits=self.limits,
        )

    def callbacks(self, rules: CallbackRules = NO_CALLBACKS) -> Callbacks:
        """What delivers callbacks; posted are a request's id and status."""

        async def document(record: RequestRecord) -> bytes:
            return json.dumps({"id": record.id, "status": record.status}).encode()

        return Callbacks(
            log=self.log,
            markers=TableCallbackMarkers(storage=self.storage),
            receivers=self.receivers,
            document=document,
            queue=self.queue,
            clock=self.clock,
            rules=rules,
        )

    def sweeper(self) -> Sweeper:
        """What the timer runs."""
        return Sweeper(open_requests=self.open_requests, queue=self.queue, clock=self.clock, paused=self.limits.paused)

    async def open_ids(self, now: datetime) -> set[str]:
        """The requests that the timer would redrive at a moment."""
        return {one.request_id async for batch in self.open_requests.due(now, paused=True) for one in batch}

    async def resume(self, request_id: str, *, seconds: float = 15, max_idle: float = 5) -> RequestRecord:
        """Go on with a request as a work message would have it."""
        until = self.clock.now() + timedelta(seconds=seconds)
        record = await self.worker().process_message(request_id, until=until, max_idle=timedelta(seconds=max_idle))
        assert record is not None
        return record

    async def close(self) -> None:
        """Close its connections."""
        await self.transport.close()
        await self.receivers.close()
        await self.identity.discard_credential()
