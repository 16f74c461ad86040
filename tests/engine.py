"""What tests of the engine hold: the status log on an emulator, a clock set by hand, a worker over real parts."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.gated_graph import GatedGraph
from revoke_core.adapters.graph import MicrosoftGraph
from revoke_core.adapters.graph_wire import GraphWire
from revoke_core.adapters.identity import GraphIdentity
from revoke_core.adapters.ledger import TableLedger
from revoke_core.adapters.pace_board import PaceBoard
from revoke_core.adapters.pace_budget import StoredBudget
from revoke_core.adapters.pace_gates import StoredGates
from revoke_core.adapters.status_log import TableStatusLog
from revoke_core.adapters.user_index import TableUserIndex
from revoke_core.adapters.work_queue import StorageWorkQueue
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import new_request_id, parse_user
from revoke_core.domain.results import Counts, RequestedBy, RequestRecord, RequestStatus, UserRow, UserStatus
from revoke_core.domain.run import Run
from revoke_core.service.planning import Planner
from revoke_core.service.protection import ProtectedUsers
from revoke_core.service.proving import Prover
from revoke_core.service.revoking import Revoker
from revoke_core.service.run_in_hand import RunInHand
from revoke_core.service.sources import Sources
from revoke_core.service.worker import Limits, Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.verdicts import Answer
    from revoke_core.ports import Clock

NOON = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)
LIMITS = Limits(max_users=100_000, max_unconfirmed=100, paused=False)


@dataclass
class HandSetClock:
    """Stands still until a test moves it."""

    moment: datetime = NOON

    def now(self) -> datetime:
        """Where it was set to."""
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        """Whoever waits moves it."""
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

    async def save(self, run: Run, rows: Sequence[UserRow]) -> Run:
        """As the port, unless storage has been stopped."""
        if self.before_save:
            await self.before_save(run)
        if self.saves_left is not None:
            if self.saves_left == 0:
                raise Unavailable("The storage was stopped by the test.")
            self.saves_left -= 1
        saved = await super().save(run, rows)
        self.saves.append(Saved(saved, list(rows)))
        return saved

    async def waiting_rows(
        self, request_id: str, status: UserStatus, *, after: int, limit: int
    ) -> tuple[list[UserRow], bool]:
        """As the port; what happens now is news to whoever holds the page."""
        page = await super().waiting_rows(request_id, status, after=after, limit=limit)
        if self.after_page:
            await self.after_page(status)
        return page

    async def all_rows(self, request_id: str) -> list[UserRow]:
        """Every user of a request."""
        return [row async for row in self.rows(request_id)]


class WatchedGraph(MicrosoftGraph):
    """The real adapter; who has been read is noted."""

    def __init__(self, *, wire: GraphWire, identity: GraphIdentity) -> None:
        super().__init__(wire=wire, identity=identity)
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
    return RequestRecord(
        id=new_request_id(requested_at),
        requested_by=RequestedBy(kind="local"),
        requested_at=requested_at,
        **given | more,
    )


def users(first: int, last: int, **more: Any) -> list[UserRow]:
    """Users at these positions."""
    return [UserRow(position=place, given=f"user{place}@contoso.com", **more) for place in range(first, last + 1)]


def counted(rows: Sequence[UserRow], *, duplicates: int = 0) -> Counts:
    """What the counts of these rows have to be."""
    numbers = Counter(row.status.value for row in rows)
    return Counts(total=len(rows), duplicates=duplicates, **numbers)


def fresh_hand(log: TableStatusLog, clock: Clock) -> RunInHand:
    """A request of its own that nobody has begun, in the hand of its first worker."""
    run = Run(request_id=new_request_id(datetime.now(UTC)), owner="first", epoch=1, counts=Counts())
    return RunInHand(run=run, log=log, clock=clock)


async def stored_run(log: TableStatusLog, request_id: str) -> Run:
    """The run row, which has to be there."""
    run = await log.run(request_id)
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
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=self.clock)
        self.identity = identity
        self.wire = GraphWire(endpoint=self.root, identity=identity, clock=self.clock)
        self.graph = WatchedGraph(wire=self.wire, identity=identity)
        self.log = WatchedLog(storage=self.storage)
        self.index = TableUserIndex(storage=self.storage)
        self.ledger = TableLedger(storage=self.storage, clock=self.clock)
        self.queue = StorageWorkQueue(storage=self.storage)
        board = PaceBoard(storage=self.storage, clock=self.clock)
        self.gates = StoredGates(board=board, clock=self.clock)
        self.budget = StoredBudget(board=board, clock=self.clock, quota=3000)
        self.gated = GatedGraph(graph=self.graph, gates=self.gates)
        self.sources = Sources(log=self.log, graph=self.gated)
        self.protect()

    def protect(self, *users: str, group: str | None = None) -> None:
        """What an operator sets; it counts for workers made from here on."""
        named = [user for user in map(parse_user, users) if user]
        self.protected = ProtectedUsers(users=named, group=group, graph=self.gated, clock=self.clock)
        self.planner = Planner(graph=self.gated, protected=self.protected)

    def revoker(self) -> Revoker:
        """What sends."""
        return Revoker(
            graph=self.gated,
            gates=self.gates,
            budget=self.budget,
            ledger=self.ledger,
            protected=self.protected,
            clock=self.clock,
        )

    def worker(self) -> Worker:
        """A worker with nothing in memory."""
        return Worker(
            log=self.log,
            index=self.index,
            ledger=self.ledger,
            gates=self.gates,
            budget=self.budget,
            queue=self.queue,
            sources=self.sources,
            planner=self.planner,
            revoker=self.revoker(),
            prover=Prover(graph=self.gated),
            clock=self.clock,
            limits=self.limits,
        )

    async def resume(self, request_id: str, *, seconds: float = 15, patience: float = 5) -> RequestRecord:
        """Go on with a request as a work message would have it."""
        until = self.clock.now() + timedelta(seconds=seconds)
        record = await self.worker().resume(request_id, until=until, patience=timedelta(seconds=patience))
        assert record is not None
        return record

    async def close(self) -> None:
        """Close its connections."""
        await self.wire.close()
        await self.identity.forget()
