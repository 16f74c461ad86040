"""Open markers: made with the request's row, removed with its final status, and read oldest first while it is open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from revoke_core.adapters.storage import REQUESTS_TABLE, Storage
from revoke_core.adapters.tables.open_requests import TableOpenRequests
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.data.tables.aio import TableClient

    from revoke_core.ports.shared import OpenRequest

NOW = datetime.now(UTC).replace(microsecond=0)
KEEP = timedelta(days=1000)
SECOND = timedelta(seconds=1)


class Requests:
    """Requests of one test over the real tables."""

    def __init__(self, storage: Storage) -> None:
        self.log = TableStatusLog(storage=storage)
        self.open = TableOpenRequests(storage=storage, keep=KEEP)
        self.storage = storage

    async def new(self, age: timedelta = timedelta(0), *, due: timedelta = timedelta(0)) -> RequestRecord:
        """An open request that was accepted so long ago and is due so long after ``NOW``."""
        record = RequestRecord(
            id=new_request_id(NOW - age),
            status=RequestStatus.ACCEPTED,
            source="http",
            requested_by=RequestedBy(kind="local"),
            requested_at=NOW - age,
        )
        await self.log.create_request(record, None, redrive_at=NOW + due)
        return record

    async def due(self, now: datetime = NOW, *, paused: bool = False) -> list[OpenRequest]:
        """What is due, in order."""
        return [request async for batch in self.open.due(now, paused=paused) for request in batch]

    async def due_ids(self, now: datetime = NOW, *, paused: bool = False) -> list[str]:
        """The ids of what is due."""
        return [request.request_id for request in await self.due(now, paused=paused)]

    @property
    def table(self) -> TableClient:
        """The table itself."""
        return self.storage.table(REQUESTS_TABLE)

    async def rows(self) -> list[Any]:
        """Everything in the table."""
        return [entity async for entity in self.table.list_entities()]


@pytest.fixture
async def requests_made(storage: Storage) -> AsyncIterator[Requests]:
    """A table without the requests of earlier tests."""
    made = Requests(storage)
    for entity in await made.rows():
        await made.table.delete_entity(entity)
    yield made
    for entity in await made.rows():
        await made.table.delete_entity(entity)


def finished(record: RequestRecord, status: RequestStatus = RequestStatus.SUCCEEDED) -> RequestRecord:
    return replace(record, status=status, completed_at=NOW)


async def test_row_and_marker_are_made_in_one_transaction(requests_made: Requests, requests_sent: list[str]) -> None:
    """No crash leaves an accepted request that the timer cannot find."""
    record = await requests_made.new()
    assert len(requests_sent) == 1
    assert requests_sent[0].endswith("/$batch")
    assert await requests_made.due_ids() == [record.id]


async def test_a_request_that_is_over_has_no_marker(requests_made: Requests) -> None:
    """Neither a final update nor a finish finds anything to do."""
    record = finished(await requests_made.new())
    other = replace(record, id=new_request_id(NOW), status=RequestStatus.FAILED)
    await requests_made.log.create_request(other, None, redrive_at=None)
    assert other.id not in await requests_made.due_ids()
    await requests_made.log.finish_request(finished(other))
    assert await requests_made.log.get_request(other.id) == other


async def test_a_second_request_of_the_same_id_writes_nothing(requests_made: Requests) -> None:
    """Row and marker stay as they are, also where one of the two is there alone."""
    record = await requests_made.new(due=SECOND)
    again = replace(record, reason="again")
    for redrive_at in (NOW, None):
        await requests_made.log.create_request(again, None, redrive_at=redrive_at)
    assert await requests_made.log.get_request(record.id) == record
    assert await requests_made.due_ids() == []
    await requests_made.log.finish_request(finished(record))
    await requests_made.log.create_request(again, None, redrive_at=NOW)
    assert await requests_made.due_ids() == []


async def test_an_ended_request_stays_as_it_is(requests_made: Requests) -> None:
    """The end removes the marker; later ends and updates change nothing."""
    record = await requests_made.new()
    await requests_made.log.update_request(replace(record, status=RequestStatus.RUNNING))
    await requests_made.log.finish_request(finished(record))
    assert len(await requests_made.rows()) == 1
    await requests_made.log.finish_request(finished(record, RequestStatus.CANCELLED))
    await requests_made.log.update_request(replace(record, status=RequestStatus.RUNNING, reason="late"))
    assert await requests_made.log.get_request(record.id) == finished(record)
    assert await requests_made.due_ids() == []


async def test_due_requests_come_oldest_first_across_partitions_and_pages(requests_made: Requests) -> None:
    """The partition changes every 2.2 years; at most 100 come at a time, each batch of one partition."""
    new = [await requests_made.new(SECOND * age) for age in range(102)]
    old = [await requests_made.new(timedelta(days=900), due=-SECOND), await requests_made.new(timedelta(days=990))]
    await requests_made.new(due=SECOND)
    oldest_first = [record.id for record in sorted([*new, *old], key=lambda record: record.requested_at)]
    batches = [batch async for batch in requests_made.open.due(NOW, paused=False)]
    assert [request.request_id for batch in batches for request in batch] == oldest_first
    assert all(0 < len(batch) <= 100 for batch in batches)
    assert all(len({request.request_id[:3] for request in batch}) == 1 for batch in batches)


async def test_pages_without_a_due_request_do_not_end_the_search(requests_made: Requests) -> None:
    """More than a page of older requests is not due yet; the younger one still is found."""
    for age in range(1, 121):
        await requests_made.new(SECOND * age, due=SECOND)
    record = await requests_made.new()
    assert await requests_made.due_ids() == [record.id]


async def test_a_paused_request_is_due_at_once_where_revoking_is_not_paused(requests_made: Requests) -> None:
    """A host that is paused itself waits for the moment; once redriven it is due no earlier than any other."""
    record = await requests_made.new()
    await requests_made.open.postpone(record.id, NOW + SECOND * 300, paused=True)
    assert await requests_made.due_ids(paused=True) == []
    assert await requests_made.due_ids(NOW + SECOND * 300, paused=True) == [record.id]
    found = await requests_made.due()
    assert [request.request_id for request in found] == [record.id]
    await requests_made.open.note_redriven(found, NOW)
    assert await requests_made.due_ids(NOW + SECOND * 44) == []
    assert await requests_made.due_ids(NOW + SECOND * 45) == [record.id]


async def test_redriving_waits_twice_as_long_each_time(requests_made: Requests) -> None:
    """45 s, 90 s … at most 8 minutes, and from the beginning after a worker has moved the request."""
    record = await requests_made.new()
    now = NOW
    for seconds in (45, 90, 180, 360, 480, 480):
        await requests_made.open.note_redriven(await requests_made.due(now), now)
        assert await requests_made.due_ids(now + SECOND * (seconds - 1)) == []
        now += SECOND * seconds
        assert await requests_made.due_ids(now) == [record.id]
    await requests_made.open.postpone(record.id, now)
    assert [request.redriven for request in await requests_made.due(now)] == [0]


async def test_a_request_that_ends_meanwhile_keeps_no_other_from_being_noted(
    requests_made: Requests, requests_sent: list[str]
) -> None:
    """One transaction for all of a batch, and one write for each where a marker is gone."""
    records = [await requests_made.new(SECOND * age) for age in range(3)]
    found = await requests_made.due()
    requests_sent.clear()
    await requests_made.open.note_redriven(found, NOW)
    assert len(requests_sent) == 1
    await requests_made.log.finish_request(finished(records[1]))
    await requests_made.open.note_redriven(found, NOW + SECOND * 45)
    assert await requests_made.due_ids(NOW + SECOND * 89) == []
    assert await requests_made.due_ids(NOW + SECOND * 90) == [records[2].id, records[0].id]


async def test_postponing_an_ended_request_changes_nothing(requests_made: Requests) -> None:
    """It makes no marker."""
    record = await requests_made.new()
    await requests_made.log.finish_request(finished(record))
    await requests_made.open.postpone(record.id, NOW, paused=True)
    assert len(await requests_made.rows()) == 1
    assert await requests_made.due_ids() == []


async def test_lists_and_retention_never_return_a_marker(storage: Storage, requests_made: Requests) -> None:
    """Page by page of two rows, whatever is filtered."""
    ages = (0, 1, 2, 900)
    ids = [(await requests_made.new(timedelta(days=age))).id for age in ages]
    for since in (None, NOW - timedelta(days=950)):
        found, token = [], None
        while not found or token:
            page = await requests_made.log.list_requests(status=None, since=since, size=2, token=token)
            found += [record.id for record in page.items]
            token = page.token
        assert found == ids
    store = TableRetentionStore(storage=storage, log=requests_made.log, index=TableUserIndex(storage=storage))
    old = await store.accepted_before(NOW - timedelta(hours=30), token=None)
    assert [record.id for record in old.items] == ids[2:]


async def test_requests_whose_message_waits_in_the_queue_come_last(requests_made: Requests) -> None:
    """Thousands may be stranded: the youngest gets its first message before the oldest gets its second."""
    waiting = await requests_made.new(SECOND * 60)
    await requests_made.open.note_redriven(await requests_made.due(), NOW - SECOND * 60)
    young, old = await requests_made.new(SECOND), await requests_made.new(SECOND * 2)
    assert await requests_made.due_ids() == [old.id, young.id, waiting.id]
