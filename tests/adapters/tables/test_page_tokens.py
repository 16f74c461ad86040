"""Continuation tokens go out to callers and come back from them, as they were or not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from revoke_core.adapters.storage import Storage
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.errors import InvalidRequest, Unavailable
from revoke_core.domain.identifiers import new_request_id, parse_user
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import Counts, UserRow
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACCOUNT = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;TableEndpoint="


def token_of(place: Any) -> str:
    text = place if isinstance(place, str) else json.dumps(place)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def keys(partition: Any, row: Any) -> dict[str, Any]:
    return {"PartitionKey": partition, "RowKey": row}


@pytest.fixture
async def record(storage: Storage) -> RequestRecord:
    """A request with three users."""
    log = TableStatusLog(storage=storage)
    now, counts = datetime.now(UTC), Counts(total=3, pending=3)
    made = RequestRecord(
        id=new_request_id(now),
        status=RequestStatus.ACCEPTED,
        source="http",
        requested_by=RequestedBy(kind="local"),
        requested_at=now,
        counts=counts,
    )
    await log.create_request(made, None, redrive_at=None)
    users = [UserRow(position=position, given=f"user{position}@contoso.com") for position in (1, 2, 3)]
    await log.save_run(Run(request_id=made.id, planned=True, positions=3, counts=counts), users)
    return made


@pytest.mark.parametrize(
    "place",
    [
        *("", "{", "5", "[" * 100_000, "\N{SNOWMAN}", {}, {"PartitionKey": "x"}, keys("x", "y") | {"More": "z"}),
        *(keys("\ud800", "x"), keys("x", "\ud800"), keys("ä", "x"), keys("a\r\nb", "x"), keys("x", "\0")),
        *(keys("", ""), keys(None, None), keys(5, "x"), keys(["x"], "x"), keys("x" * 2001, "x")),
    ],
)
async def test_a_token_that_was_never_given_is_a_fault_of_the_caller(
    storage: Storage, record: RequestRecord, place: Any
) -> None:
    """Each list names the parameter, for a 400; none fails."""
    log, index, token = TableStatusLog(storage=storage), TableUserIndex(storage=storage), token_of(place) or "!"
    user = parse_user("user1@contoso.com")
    assert user
    for page in (
        log.list_requests(status=None, since=None, size=5, token=token),
        log.list_users(record.id, status=None, size=5, token=token),
        index.find(user, size=5, token=token),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await page
        assert [fault.pointer for fault in refused.value.faults] == ["/continuationToken"]


async def test_a_token_leads_on_where_it_was_given(storage: Storage, record: RequestRecord) -> None:
    """As storage wrote it, through the caller's hands and back."""
    log, token, seen = TableStatusLog(storage=storage), None, []
    while not seen or token:
        page = await log.list_users(record.id, status=None, size=1, token=token)
        seen += [row.position for row in page.items]
        token = page.token
    assert seen == [1, 2, 3]


@pytest.fixture
async def refusing() -> AsyncIterator[Storage]:
    """An account that refuses every question, as Azure does when it cannot read where to go on."""

    async def refused(_: web.Request) -> web.Response:
        error = {"odata.error": {"code": "InvalidInput", "message": {"lang": "en-US", "value": "Bad Request"}}}
        return web.json_response(error, status=400)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refused)
    async with TestServer(app) as server:
        made = Storage(settings=read_settings({"AzureWebJobsStorage": ACCOUNT + str(server.make_url("/a"))}).storage)
        yield made
        await made.close()


async def test_a_token_that_storage_refuses_is_a_fault_of_the_caller(refusing: Storage) -> None:
    """Only with a token: without one the question was the app's own."""
    log = TableStatusLog(storage=refusing)
    with pytest.raises(InvalidRequest, match="/continuationToken"):
        await log.list_requests(status=None, since=None, size=5, token=token_of(keys("x", "y")))
    with pytest.raises(Unavailable):
        await log.list_requests(status=None, since=None, size=5, token=None)
