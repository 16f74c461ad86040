"""Recovery after a crash: how soon a fresh host drives stranded requests again, and in which order.

The requests are written as a kill leaves them: unfinished, with a work message in no queue. One half was never begun
(no run row), the other half has a run row whose lease has ended. The proxy between the fresh host and the tables notes
when each is driven again, so that the measurement does not add reads to the storage that the host works with.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from local.bench.app import BenchFailedError, bulk_user_ids, reset_tenant
from local.bench.figures import Figure, at_most
from local.testbed import exchanges
from local.testbed.environment import running_environment
from revoke_core.adapters.storage import Storage
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import Counts
from revoke_core.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from local.testbed.environment import Environment
    from local.testbed.proxy import Exchange

BUDGET_SECONDS: Final = 90.0
BUDGET_REQUESTS: Final = 10_000
_DECILE: Final = 10
# The youngest request is older than any lease; the oldest is far from its 24 hours.
_OLDEST: Final = timedelta(minutes=20)
_YOUNGEST: Final = timedelta(minutes=5)
_WRITES_AT_ONCE: Final = 16
_LONGEST_REDRIVE: Final = 900.0
_LONGEST_END: Final = 3600.0
_TIMER_EVENT: Final = "timer_swept "
_UNLIMITED: Final = {"GRAPH_WRITES_PER_150S": "1000000"}


@dataclass(kw_only=True)
class Recovery:
    """When each stranded request was driven again and when it ended, in seconds from the host's start.

    ``request_ids`` are oldest first; ``timer_runs`` are the durations that the host's timer logged, in seconds.
    A request that ended was driven again at that time at the latest.
    """

    request_ids: Sequence[str]
    started_at: float = 0.0
    redriven: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    timer_runs: list[float] = field(default_factory=list)
    all_redriven: asyncio.Event = field(default_factory=asyncio.Event)
    all_ended: asyncio.Event = field(default_factory=asyncio.Event)

    def on_request(self, exchange: Exchange) -> None:
        """Note what an exchange writes to open markers and request rows."""
        if exchange.side != "table":
            return
        seconds = time.monotonic() - self.started_at
        for request_id in exchanges.redriven_requests(exchange):
            self.redriven.setdefault(request_id, seconds)
        for request_id in exchanges.ended_requests(exchange):
            self.redriven.setdefault(request_id, seconds)
            self.ended.setdefault(request_id, seconds)
        if len(self.redriven) == len(self.request_ids):
            self.all_redriven.set()
        if len(self.ended) == len(self.request_ids):
            self.all_ended.set()

    def on_line(self, line: str) -> None:
        """Note a timer run from the host's log."""
        _, event, text = line.partition(_TIMER_EVENT)
        if event:
            fields: dict[str, Any] = json.loads(text)
            self.timer_runs.append(float(fields["seconds"]))

    @property
    def age_margin(self) -> float:
        """Seconds from the last redrive among the oldest tenth to the first among the youngest tenth."""
        tenth = max(1, len(self.request_ids) // _DECILE)
        oldest, youngest = self.request_ids[:tenth], self.request_ids[-tenth:]
        return min(self.redriven[one] for one in youngest) - max(self.redriven[one] for one in oldest)


async def measured(sizes: Sequence[int], *, until_ended: bool) -> list[Figure]:
    """The figures for each number of stranded requests, each with fresh storage and a fresh host.

    Args:
        sizes: numbers of stranded requests.
        until_ended: also wait until all have ended, for sizes up to 10,000.
    """
    lines: list[Figure] = []
    for size in sizes:
        lines += figures(await _recover(size, until_ended=until_ended and size <= BUDGET_REQUESTS))
    return lines


async def _recover(size: int, *, until_ended: bool) -> Recovery:
    recovery = Recovery(request_ids=())
    async with running_environment(
        users=size, settings=_UNLIMITED, start_hosts=False, on_line=recovery.on_line
    ) as running:
        users = await bulk_user_ids(running, size)
        await reset_tenant(running, quota={"model": "none"}, resourceUnitsPer10s=1_000_000_000)
        recovery.request_ids = await strand(running.connection, users)
        running.host.interceptor.on_request.append(recovery.on_request)
        recovery.started_at = time.monotonic()
        await running.host.start()
        await _wait(recovery.all_redriven, recovery.redriven, size, _LONGEST_REDRIVE)
        if until_ended:
            await _wait(recovery.all_ended, recovery.ended, size, _LONGEST_END)
            await _check_ended(running, size)
    return recovery


async def strand(connection: str, users: Sequence[str]) -> list[str]:
    """Store an open request for each user as a killed host leaves it; their ids, oldest first."""
    storage = Storage(settings=StorageSettings(connection_string=connection))
    try:
        await storage.ready()
        log = TableStatusLog(storage=storage)
        now = datetime.now(UTC)
        step = (_OLDEST - _YOUNGEST) / len(users)
        accepted = [now - _OLDEST + step * number for number in range(len(users))]
        request_ids = [new_request_id(moment) for moment in accepted]
        stranded = zip(users, request_ids, accepted, strict=True)
        entries = enumerate(stranded)
        await asyncio.gather(*(_strand_some(log, entries) for _ in range(_WRITES_AT_ONCE)))
    finally:
        await storage.close()
    return request_ids


async def _strand_some(log: TableStatusLog, entries: Iterator[tuple[int, tuple[str, str, datetime]]]) -> None:
    """Take entries until none is left; several of these share one iterator."""
    for number, (user, request_id, accepted) in entries:
        await _strand_one(log, user, request_id, accepted, begun=bool(number % 2))


async def _strand_one(log: TableStatusLog, user: str, request_id: str, accepted: datetime, *, begun: bool) -> None:
    record = RequestRecord(
        id=request_id,
        status=RequestStatus.RUNNING if begun else RequestStatus.ACCEPTED,
        source="queue",
        requested_by=RequestedBy(kind="queue"),
        requested_at=accepted,
        reason="bench",
        counts=Counts(total=1, pending=1),
    )
    request = RevocationRequest(users=NamedUsers([user]), reason=record.reason)
    lease_until = accepted + LEASE
    await log.create_request(record, request, redrive_at=lease_until)
    if begun:
        run = Run(request_id=request_id, owner="killed-host", epoch=1, lease_until=lease_until, counts=Counts())
        await log.save_run(run, [])


async def _wait(event: asyncio.Event, done: Mapping[str, float], size: int, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        raise BenchFailedError(f"only {len(done)} of {size} requests after {seconds:.0f} s") from None


async def _check_ended(running: Environment, size: int) -> None:
    """Hold what the proxy saw against the table and the tenant."""
    client = running.tables.get_table_client(exchanges.REQUESTS)
    rows = [dict(row) async for row in client.query_entities("Reason eq 'bench'", select=["RowKey", "Status"])]
    succeeded = sum(row["Status"] == "succeeded" for row in rows)
    revoked = {entry["userId"] for entry in await running.sim("revocations")}
    if succeeded != size or len(revoked) != size:
        raise BenchFailedError(f"of {size} requests {succeeded} succeeded, and {len(revoked)} users were revoked")


def figures(recovery: Recovery) -> list[Figure]:
    """The lines of one size."""
    size = len(recovery.request_ids)
    seconds = max(recovery.redriven.values())
    has_budget = size <= BUDGET_REQUESTS
    lines = [
        Figure(
            part="recovery",
            name=f"{size:,} stranded requests, all driven again",
            value=f"{seconds:.1f} s",
            note="from the start of a fresh host",
            budget=f"<= {BUDGET_SECONDS:.0f} s" if has_budget else "",
            kept=at_most(seconds, BUDGET_SECONDS) if has_budget else None,
        ),
        Figure(
            part="recovery",
            name=f"{size:,} stranded requests, longest timer run",
            value=f"{max(recovery.timer_runs):.1f} s" if recovery.timer_runs else "not logged",
            note=f"{len(recovery.timer_runs)} runs",
        ),
        Figure(
            part="recovery",
            name=f"{size:,} stranded requests, oldest tenth before youngest tenth",
            value=f"{recovery.age_margin:+.1f} s",
            note="from the last of the oldest to the first of the youngest",
            budget=">= 0 s",
            kept=recovery.age_margin >= 0,
        ),
    ]
    if len(recovery.ended) == size:
        ended = max(recovery.ended.values())
        lines.append(Figure(part="recovery", name=f"{size:,} stranded requests, all ended", value=f"{ended:.1f} s"))
    return lines
