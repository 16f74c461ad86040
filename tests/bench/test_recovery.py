import json
from typing import Any

import pytest

from local.bench.recovery import Recovery, figures, strand
from local.testbed.proxy import Exchange
from revoke_core.adapters.storage import Storage
from revoke_core.adapters.tables.open_requests import TableOpenRequests
from revoke_core.adapters.tables.rows import marker_keys
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.domain.identifiers import accepted_at
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.schedules import LIFETIME


def recovery(seconds: list[float]) -> Recovery:
    names = [f"request-{number}" for number in range(len(seconds))]
    return Recovery(request_ids=names, redriven=dict(zip(names, seconds, strict=True)), timer_runs=[2.5, 1.0])


def write(entity: dict[str, Any]) -> Exchange:
    path = "/devstoreaccount1/Revocations(PartitionKey='f',RowKey='x')"
    return Exchange(side="table", method="PATCH", path=path, body=json.dumps(entity).encode())


@pytest.mark.parametrize(("last", "kept"), [(90.0, True), (90.1, False)])
def test_10_000_requests_have_90_seconds(last: float, *, kept: bool) -> None:
    """The slowest request counts, and a size above 10,000 has no budget in seconds."""
    seconds = [last * number / 10_000 for number in range(1, 10_001)]
    assert figures(recovery(seconds))[0].kept is kept
    assert figures(recovery([*seconds, last]))[0].kept is None


def test_an_old_request_driven_after_a_young_one_is_reported() -> None:
    """Oldest first: the last of the oldest tenth is driven before the first of the youngest tenth."""
    ordered, late = recovery([1.0 * number for number in range(100)]), recovery([95.0, *map(float, range(1, 100))])
    assert (figures(ordered)[2].value, figures(ordered)[2].kept) == ("+81.0 s", True)
    assert (figures(late)[2].value, figures(late)[2].kept) == ("-5.0 s", False)


def test_redrives_and_ends_are_noted_once() -> None:
    """The first redrive counts; an end counts as one too; the host's log has the timer's runs."""
    first, second = (f"{'f' * 12}-{number:032x}" for number in (1, 2))
    found = Recovery(request_ids=[first, second])
    for redriven in (0, 1, 2):
        found.on_request(write(marker_keys(first) | {"Redriven": redriven}))
        assert len(found.redriven) == min(redriven, 1)
    assert not found.all_redriven.is_set()
    found.on_request(write({"RowKey": second, "Status": "succeeded"}))
    assert found.all_redriven.is_set()
    assert list(found.ended) == [second]
    found.on_line('2026-09-10T14:32:27.459Z INFO revoker 1c9d42ab timer_swept {"redriven": 2, "seconds": 1.4}')
    assert found.timer_runs == [1.4]


async def test_requests_are_stranded_as_a_kill_leaves_them(azurite: str, storage: Storage) -> None:
    """Unfinished and due, oldest first; every other one has a run row, and its lease has ended."""
    ids = await strand(azurite, [f"00000000-0000-4000-8000-{number:012d}" for number in range(6)])
    log = TableStatusLog(storage=storage)
    records = [await log.get_request(request_id) for request_id in ids]
    assert [record.status for record in records if record] == [RequestStatus.ACCEPTED, RequestStatus.RUNNING] * 3
    moments = [accepted_at(request_id) for request_id in ids]
    assert moments == sorted(moments)
    now = max(moments) + (LIFETIME / 100)
    runs = [await log.get_run(request_id) for request_id in ids]
    assert [run is not None and not run.lease_left(now) for run in runs] == [False, True] * 3
    due = [
        request.request_id
        async for batch in TableOpenRequests(storage=storage, keep=LIFETIME).due(now, paused=False)
        for request in batch
    ]
    assert [request_id for request_id in due if request_id in ids] == ids
