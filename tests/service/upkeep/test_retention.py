from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import NOON, HandSetClock, WatchedLog, counted, new_record, users
from storage_log import storage_log

from revoke_core.adapters.storage import TABLES, Storage
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import UserRow, UserStatus
from revoke_core.ports.status_log import IdempotencyKey
from revoke_core.service.upkeep.retention import Retention

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEP = timedelta(days=30)
LONG_AGO = NOON - KEEP - timedelta(days=1)
# More than one part of inputs, more than one transaction of rows.
MANY = 2_100


class Archived:
    """A status log with old requests, and what is left of them."""

    def __init__(self, storage: Storage, log: WatchedLog, clock: HandSetClock) -> None:
        self.storage = storage
        self.log = log
        self.clock = clock
        self.index = TableUserIndex(storage=storage)
        self.store = TableRetentionStore(storage=storage, log=log, index=self.index)

    def retention(self) -> Retention:
        """The timer's work of one day."""
        return Retention(store=self.store, clock=self.clock, keep=KEEP)

    async def request(self, *, at: timedelta = timedelta(0), **more: object) -> tuple[RequestRecord, list[UserRow]]:
        """An old request with all that belongs to one."""
        given: dict[str, object] = {"status": RequestStatus.SUCCEEDED} | more
        record = new_record(LONG_AGO + at, **given)
        names = [f"user{place}@contoso.com" for place in range(1, MANY + 1)]
        key = IdempotencyKey(scope="key:1", key=record.id, digest="x")
        await self.log.create_request(record, RevocationRequest(users=NamedUsers(names)), key=key)
        rows = [
            UserRow(
                position=row.position,
                given=row.given,
                user_id=f"{row.position:08x}-0000-4000-8000-{record.id[-12:]}",
                status=UserStatus.VERIFIED,
            )
            for row in users(1, 120)
        ]
        run = Run(request_id=record.id, owner="first", epoch=1, counts=counted(rows))
        run = await self.log.save_run(run, rows[:99])
        await self.log.save_run(run, rows[99:])
        await self.index.add(record.id, rows)
        return record, rows

    async def traces(self, request_id: str) -> dict[str, int]:
        """How many entities of each table name the request in a key or a column."""
        (found,) = await self.all_traces(request_id)
        return found

    async def all_traces(self, *request_ids: str) -> list[dict[str, int]]:
        """The same of several requests, in one reading of the tables."""
        found: list[dict[str, int]] = [{} for _ in request_ids]
        for table in TABLES:
            async for entity in self.storage.table(table).list_entities():
                text = "\n".join(map(str, entity.values()))
                for request_id, counts in zip(request_ids, found, strict=True):
                    if request_id in text:
                        counts[table] = counts.get(table, 0) + 1
        return found


@pytest.fixture
def archived(storage: Storage, log: WatchedLog, clock: HandSetClock) -> Archived:
    return Archived(storage, log, clock)


async def test_an_old_request_leaves_no_trace(archived: Archived) -> None:
    """Its row, its users, its run row, its entries by user, its inputs and its idempotency key."""
    archived.clock.moment = LONG_AGO
    record, _ = await archived.request()
    before = await archived.traces(record.id)
    assert before == {"Revocations": 2, "RevocationUsers": 121, "RevocationIndex": 240, "RevocationState": 1}
    archived.clock.moment = NOON
    assert await archived.retention().remove_old() >= 1
    assert await archived.traces(record.id) == {}


async def test_what_is_young_or_unfinished_stays(archived: Archived) -> None:
    """However old: nobody's open request is forgotten; and a day less than the time is not the time."""
    running, _ = await archived.request(status=RequestStatus.RUNNING)
    held, _ = await archived.request(status=RequestStatus.HELD)
    accepted, _ = await archived.request(status=RequestStatus.ACCEPTED)
    young, _ = await archived.request(at=timedelta(days=1, seconds=1))
    stays = [record.id for record in (running, held, accepted, young)]
    traces = await archived.all_traces(*stays)
    assert all(traces)
    await archived.retention().remove_old()
    assert await archived.all_traces(*stays) == traces


async def test_a_removal_that_broke_off_is_finished_the_next_day(archived: Archived) -> None:
    """After its entries by user, after its users: whatever is gone already is no error."""
    record, rows = await archived.request()
    other, others = await archived.request(at=timedelta(milliseconds=5))
    await archived.index.remove(record.id, rows)
    await archived.index.remove(other.id, others[:7])
    await archived.log.delete_after(other.id, after=60)
    await archived.retention().remove_old()
    left, left_of_other = await archived.all_traces(record.id, other.id)
    assert left == {}
    assert "Revocations" not in left_of_other


class StoppedIndex(TableUserIndex):
    """Removes what it is told to, and then storage stops."""

    async def remove(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """As the real one, with a failure behind it."""
        await super().remove(request_id, rows)
        raise Unavailable("The storage was stopped by the test.")


async def test_storage_that_stops_in_the_middle_leaves_the_request_to_be_found(archived: Archived) -> None:
    """The request's row goes last, so nothing of it is orphaned."""
    record, _ = await archived.request()
    stopping = TableRetentionStore(
        storage=archived.storage, log=archived.log, index=StoppedIndex(storage=archived.storage)
    )
    with pytest.raises(Unavailable):
        await Retention(store=stopping, clock=archived.clock, keep=KEEP).remove_old()
    assert await archived.log.get_request(record.id)
    await archived.retention().remove_old()
    assert await archived.traces(record.id) == {}


async def test_what_a_removal_has_done_stays_done(archived: Archived) -> None:
    """It stops between two chunks, and the next one begins behind them: nothing is asked to go twice."""
    record, _ = await archived.request()
    looks = iter((True, False))
    assert not await archived.store.remove(record, in_time=lambda: next(looks))
    assert await archived.log.get_request(record.id)
    # A hundred users are gone with their entries; twenty and the run row are left.
    left = await archived.traces(record.id)
    assert (left["RevocationUsers"], left["RevocationIndex"]) == (21, 40)
    with storage_log("/RevocationIndex(") as one_by_one:
        assert await archived.store.remove(record, in_time=lambda: True)
    assert one_by_one.count == 0
    assert await archived.traces(record.id) == {}


class HurriedClock(HandSetClock):
    """A minute goes by between two looks."""

    def now(self) -> datetime:
        """As late as that."""
        self.moment += timedelta(minutes=1)
        return self.moment


async def test_what_has_no_time_today_has_it_another_day(archived: Archived) -> None:
    """The oldest request is the first, however large and however many come behind; in the end none is left."""
    ages = [timedelta(seconds=seconds) for seconds in range(3)]
    oldest, second, youngest = [(await archived.request(at=age))[0] for age in ages]
    clock = HurriedClock(moment=LONG_AGO + KEEP + timedelta(hours=1))
    retention = Retention(store=archived.store, clock=clock, keep=KEEP)
    assert await retention.remove_old() == 0
    three = (oldest.id, second.id, youngest.id)
    assert [found["RevocationUsers"] for found in await archived.all_traces(*three)] == [21, 121, 121]
    for _ in range(9):
        await retention.remove_old()
    for found in await archived.all_traces(*three):
        assert found == {}


async def test_a_request_that_cannot_be_read_keeps_no_other(archived: Archived) -> None:
    """A row that is damaged, or of a later version: it is left, and those behind it are removed."""
    oldest, _ = await archived.request()
    younger, _ = await archived.request(at=timedelta(seconds=5))
    table = archived.storage.table("RevocationUsers")
    row = await table.get_entity(oldest.id, "0000001")
    await table.update_entity({**row, "Status": "ofALaterVersion"})
    await archived.retention().remove_old()
    assert await archived.traces(younger.id) == {}
    assert await archived.log.get_request(oldest.id)
    await table.update_entity(row)
    await archived.retention().remove_old()
    assert await archived.log.get_request(oldest.id) is None
