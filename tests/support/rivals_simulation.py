"""A simulation of many instances that send through one shared row, in virtual time.

The instances are real: ``StoredBudget``, ``StoredGates`` and ``SharedPaceRow``. Played are storage (one row with ETags;
an operation takes 5 to 25 ms), the senders' loop as ``Sender`` has it, Graph (a call of at most 20 users takes 0.35 s x
uniform(0.7, 1.5), and a bucket admits or refuses each user when it leaves), and each host's clock.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from pace_simulation import Bucket

from revoke_core.adapters.pacing.budget import StoredBudget
from revoke_core.adapters.pacing.gates import StoredGates
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.domain.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from revoke_core.adapters.storage import Storage

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
QUOTA = 3000
BATCH = 20
CALL_SECONDS = 0.35
MIN_SLEEP = 0.05
CLOCKS_APART = 2.0


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happens in one run.

    Each instance has ``items`` users to send, without end by default. ``deaths`` are moments at which one more instance
    stops for ever; ``hiccups`` those at which Graph refuses everything for a second with ``Retry-After`` 10 s.
    ``small_every`` are the seconds between small requests of one user, each on any instance.
    """

    instances: int
    seconds: float = 600
    items: float = float("inf")
    deaths: tuple[float, ...] = ()
    hiccups: tuple[float, ...] = ()
    small_every: float = 0.0
    clocks_apart: float = 0.0
    lane: Lane = Lane.LARGE


@dataclass(kw_only=True)
class Traffic:
    """What was seen: storage operations on the row, users sent, and when."""

    operations: Counter[str] = field(default_factory=Counter)
    admitted: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    blocks: int = 0
    ended: float = 0.0
    small_waits: list[float] = field(default_factory=list)
    sent_in_gate: int = 0
    bound: float = 0.0
    stamps: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Users admitted."""
        return self.admitted.total()

    @property
    def share_of_bound(self) -> float:
        """Of what the quota allowed."""
        return self.total / self.bound

    @property
    def refused_share(self) -> float:
        """Users refused, per user admitted."""
        return self.refused / self.total

    @property
    def per_block(self) -> float:
        """Storage operations for 60 users."""
        return self.operations.total() / (self.total / 60)

    @property
    def writes_per_block(self) -> float:
        """Operations to take tokens for 60 users: writes, won or lost, and reads after lost ones."""
        return (self.operations.total() - self.operations["look"]) / (self.total / 60)


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for the next timer, the loop's clock is set to it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """No file is ever ready."""
        self.now += max(0.0, timeout or 0.0)
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as fast as there is something to do."""

    def __init__(self) -> None:
        self.selector = _NoWaiting()
        super().__init__(self.selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.selector.now


class _HostClock:
    """The time at one host."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        """By the host's own clock."""
        return ZERO + timedelta(seconds=asyncio.get_running_loop().time() + self.ahead)

    async def sleep_until(self, moment: datetime) -> None:
        """In virtual time."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))


class _Entity(dict[str, Any]):
    metadata: dict[str, str]


class _Row:
    """One table with one row, as the table client of the Azure SDK answers."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.random = random.Random(1)  # noqa: S311 -- durations of a simulation
        self.entity: dict[str, Any] | None = None
        self.version = 0
        self.lost_by: set[int] = set()

    async def _on_the_way(self) -> None:
        await asyncio.sleep(self.random.uniform(0.0025, 0.0125))

    def _count(self, what: str) -> None:
        task = id(asyncio.current_task())
        if what == "read" and task not in self.lost_by:
            what = "look"
        self.lost_by.discard(task)
        if what == "lost":
            self.lost_by.add(task)
        self.traffic.operations[what] += 1

    async def get_entity(self, _partition: str, _row: str, *, select: object = None) -> _Entity:
        """Read it."""
        assert select is None
        await self._on_the_way()
        self._count("read")
        entity = _Entity(self.entity or {})
        entity.metadata = {"etag": str(self.version)}
        found = self.entity is not None
        await self._on_the_way()
        if not found:
            raise ResourceNotFoundError
        return entity

    async def create_entity(self, entity: dict[str, Any]) -> dict[str, str]:
        """Insert it."""
        return await self._written(entity, None)

    async def update_entity(self, entity: dict[str, Any], *, etag: str, **_how: object) -> dict[str, str]:
        """Replace it under an ETag."""
        return await self._written(entity, etag)

    async def _written(self, entity: dict[str, Any], guard: str | None) -> dict[str, str]:
        await self._on_the_way()
        is_current = guard == (str(self.version) if self.entity is not None else None)
        self._count("write" if is_current else "lost")
        if is_current:
            self.entity = dict(entity)
            self.version += 1
        etag = str(self.version)
        await self._on_the_way()
        if not is_current:
            raise ResourceModifiedError if guard else ResourceExistsError
        return {"etag": etag}


class Host:
    """One instance."""

    def __init__(self, number: int, world: World) -> None:
        self.number, self.world = number, world
        self.random = random.Random(world.seed * 1000 + number)  # noqa: S311 -- durations of a simulation
        clock = _HostClock(self.random.uniform(-0.5, 0.5) * world.story.clocks_apart)
        self.clock = clock
        row = SharedPaceRow(storage=cast("Storage", SimpleNamespace(table=lambda _: world.row)), clock=clock)
        self.gates = StoredGates(row=row, clock=clock)
        self.budget = StoredBudget(row=row, clock=clock, quota=QUOTA)
        self.is_alive = True

    async def send_all(self, items: float, lane: Lane) -> None:
        """One large request."""
        await asyncio.sleep(self.random.uniform(0, 1))
        run = _Run(self, items, lane)
        await run.play()

    async def send_small(self) -> None:
        """One request of one user: until its call leaves."""
        began = asyncio.get_running_loop().time()
        while True:
            await self.budget.prefetch(1, lane=Lane.SMALL)
            closed = await self.gates.closed_until("write")
            if not closed and await self.budget.take(1, lane=Lane.SMALL):
                break
            moment = closed or self.budget.next_at(1, lane=Lane.SMALL)
            await self.clock.sleep_until(max(moment, self.clock.now() + timedelta(seconds=MIN_SLEEP)))
        self.world.traffic.small_waits.append(asyncio.get_running_loop().time() - began)
        await self.call(1)

    async def call(self, number: int) -> int:
        """One call to Graph; returns how many were refused."""
        world, sent_at = self.world, self.clock.now()
        pauses = world.graph(number)
        world.traffic.admitted[self.number] += number - len(pauses)
        world.traffic.refused += len(pauses)
        await asyncio.sleep(CALL_SECONDS * self.random.uniform(0.7, 1.5))
        self.budget.was_sent(number)
        if pauses:
            pause = timedelta(seconds=max(pauses))
            await self.gates.close_for("write", pause)
            world.gated_at = asyncio.get_running_loop().time()
            await self.budget.was_throttled(sent_at=sent_at, pause=pause)
        else:
            self.budget.was_clean(number)
        return len(pauses)


class _Run:
    """The loop of one request, as ``Sender`` has it."""

    def __init__(self, host: Host, items: float, lane: Lane) -> None:
        self.host, self.lane = host, lane
        self.pending = items
        self.limit = host.budget.concurrency_limit(int(min(items, 1e9)))
        self.calls: set[asyncio.Task[None]] = set()

    async def play(self) -> None:
        """Until all are sent, or the host dies."""
        clock = self.host.clock
        while (self.pending or self.calls) and self.host.is_alive:
            most = min(self.limit.size, self.host.budget.most_calls(CALL_SECONDS, BATCH))
            wake = await self._fill(most) if self.pending and len(self.calls) < most else None
            seconds = max(0.001, (wake - clock.now()).total_seconds()) if wake else None
            if self.calls:
                _, self.calls = await asyncio.wait(self.calls, timeout=seconds, return_when="FIRST_COMPLETED")
            else:
                await asyncio.sleep(seconds or 0.0)
        self.host.world.traffic.ended = asyncio.get_running_loop().time()

    async def _fill(self, most: int) -> datetime | None:
        budget, clock = self.host.budget, self.host.clock
        wanted = int(min(BATCH, self.pending))
        if (payable_at := budget.next_at(wanted, lane=self.lane)) > clock.now():
            return payable_at
        await budget.prefetch(wanted, lane=self.lane)
        if closed := await self.host.gates.closed_until("write"):
            return closed
        while self.pending and len(self.calls) < most:
            wanted = int(min(BATCH, self.pending))
            granted = await budget.take(wanted, lane=self.lane)
            if 0 < granted < wanted:
                granted += await budget.take(wanted - granted, lane=self.lane)
            if not granted:
                return max(budget.next_at(wanted, lane=self.lane), clock.now() + timedelta(seconds=MIN_SLEEP))
            self.pending -= granted
            self.calls.add(asyncio.create_task(self._called(granted)))
        return None

    async def _called(self, number: int) -> None:
        # The intent is committed first.
        await asyncio.sleep(self.host.random.uniform(0.005, 0.025))
        if await self.host.gates.closed_until("write"):
            self.pending += number
            await self.host.budget.give_back(number)
            return
        refused = await self.host.call(number)
        self.pending += refused
        self.limit = self.limit.after_throttled() if refused else self.limit.after_clean()


class World:
    """Storage, Graph and the instances."""

    def __init__(self, story: Story, seed: int) -> None:
        self.story, self.seed = story, seed
        self.random = random.Random(seed)  # noqa: S311 -- moments of a simulation
        self.traffic = Traffic()
        self.row = _Row(self.traffic)
        self.bucket = Bucket()
        self.gated_at = float("inf")
        self.hosts = [Host(number, self) for number in range(story.instances)]

    def graph(self, number: int) -> list[float]:
        """What Graph answers to a call that leaves now: the pauses of the users it refuses."""
        now = asyncio.get_running_loop().time()
        if self.gated_at + 1 < now < self.gated_at + 9:
            self.traffic.sent_in_gate += number
        if any(at <= now < at + 1 for at in self.story.hiccups):
            return [10.0] * number
        return [pause for _ in range(number) if (pause := self.bucket.take(now)) is not None]

    async def play(self) -> Traffic:
        """From a full bucket."""
        story, tasks = self.story, set[asyncio.Task[Any]]()

        def spawn(work: Coroutine[Any, Any, None]) -> None:
            task = asyncio.create_task(work)
            tasks.add(task)

        for host in self.hosts:
            spawn(host.send_all(story.items, story.lane))
        spawn(self._kill())
        if story.small_every:
            spawn(self._small(spawn))
        done, _ = await asyncio.wait(tasks, timeout=story.seconds, return_when="FIRST_EXCEPTION")
        for task in done:
            task.result()
        seconds = min(story.seconds, self.traffic.ended) if story.items != float("inf") else story.seconds
        self.traffic.bound = QUOTA + seconds * QUOTA / 150
        unfinished = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        return self.traffic

    async def _kill(self) -> None:
        for host, moment in zip(self.hosts, self.story.deaths, strict=False):
            await asyncio.sleep(moment - asyncio.get_running_loop().time())
            host.is_alive = False

    async def _small(self, spawn: Any) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.story.small_every))
            spawn(self.random.choice([host for host in self.hosts if host.is_alive]).send_small())


def simulate_rivals(instances: int, *, seed: int, **story: Any) -> Traffic:
    """So many instances, played."""
    state = random.getstate()
    random.seed(seed)
    loop = _VirtualLoop()

    async def play() -> Traffic:
        return await World(Story(instances=instances, **story), seed).play()

    try:
        return loop.run_until_complete(play())
    finally:
        loop.close()
        random.setstate(state)
