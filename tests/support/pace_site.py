"""Several instances of the app over one storage, as tests of gates and budget have them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from revoke_core.adapters.pacing.budget import StoredBudget
from revoke_core.adapters.pacing.gates import StoredGates
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.adapters.storage import Storage
from revoke_core.domain.lanes import Lane
from revoke_core.settings import StorageSettings

QUOTA = 3000


class MovableClock:
    """Real time plus what a test has skipped."""

    def __init__(self) -> None:
        self.skipped = timedelta(0)

    def now(self) -> datetime:
        """The moment the test has moved to."""
        return datetime.now(UTC) + self.skipped

    async def sleep_until(self, moment: datetime) -> None:
        """Wait in real time."""
        await asyncio.sleep(max(0.0, (moment - self.now()).total_seconds()))

    def skip(self, seconds: float) -> None:
        """Let time pass without waiting."""
        self.skipped += timedelta(seconds=seconds)


class Instance:
    """One instance of the app: its own connections, its own memory."""

    def __init__(self, connection: str, clock: MovableClock, quota: int) -> None:
        self.storage = Storage(settings=StorageSettings(connection_string=connection))
        row = SharedPaceRow(storage=self.storage, clock=clock)
        self.gates = StoredGates(row=row, clock=clock)
        self.budget = StoredBudget(row=row, clock=clock, quota=quota)


class Site:
    """Several instances over one storage and one clock."""

    def __init__(self, connection: str) -> None:
        self.connection = connection
        self.clock = MovableClock()
        self.instances: list[Instance] = []

    def instance(self, quota: int = QUOTA, *, clock: MovableClock | None = None) -> Instance:
        """One more, on the site's clock unless it has its own."""
        self.instances.append(Instance(self.connection, clock or self.clock, quota))
        return self.instances[-1]


async def drained(instance: Instance, *, lane: Lane = Lane.LARGE) -> int:
    """Take until there is nothing left; how many tokens that were."""
    total = 0
    while given := await instance.budget.take(20, lane=lane):
        total += given
    return total
