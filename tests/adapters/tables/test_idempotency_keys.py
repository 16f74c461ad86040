"""Idempotency keys: each is held by the request whose row was written with its claim, in one transaction."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest

from revoke_core.adapters.tables.inputs import inputs_partition
from revoke_core.adapters.tables.rows import request_partition
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.domain.identifiers import inverted_time, new_request_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.ports.status_log import Claim, IdempotencyKey

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage

NOW = datetime(2026, 9, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def record(made_at: datetime = NOW) -> RequestRecord:
    return RequestRecord(
        id=new_request_id(made_at),
        status=RequestStatus.ACCEPTED,
        source="http",
        requested_by=RequestedBy(kind="local"),
        requested_at=made_at,
    )


@pytest.fixture
def key() -> IdempotencyKey:
    return IdempotencyKey(scope=token_hex(8), key="key", digest="digest")


@pytest.fixture
def stored(storage: Storage) -> TableStatusLog:
    return TableStatusLog(storage=storage)


async def test_of_several_requests_under_one_key_one_is_made(stored: TableStatusLog, key: IdempotencyKey) -> None:
    """The others get its claim and leave nothing behind; in another scope it is another key."""
    records = [record() for _ in range(4)]
    claims = await asyncio.gather(
        *(stored.create_request(made, None, redrive_at=NOW + MINUTE, key=key) for made in records)
    )
    (holder,) = [made for made, claim in zip(records, claims, strict=True) if claim is None]
    assert [claim for claim in claims if claim] == [Claim(request_id=holder.id, digest="digest")] * 3
    assert [await stored.get_request(made.id) for made in records] == [
        made if made is holder else None for made in records
    ]
    assert await stored.get_claim(key.scope, key.key, NOW) == Claim(request_id=holder.id, digest="digest")
    elsewhere = replace(key, scope=f"{key.scope}-other")
    assert await stored.create_request(record(), None, redrive_at=None, key=elsewhere) is None


async def test_request_marker_and_claim_are_one_transaction(
    stored: TableStatusLog, key: IdempotencyKey, requests_sent: list[str]
) -> None:
    """A key costs nothing, and no crash leaves a key that no request holds."""
    await stored.create_request(record(), None, redrive_at=NOW + MINUTE, key=key)
    (sent,) = requests_sent
    assert sent.endswith("/$batch")


async def test_an_insert_whose_answer_was_lost_is_this_requests_own(
    stored: TableStatusLog, key: IdempotencyKey
) -> None:
    """The client repeats it and is told that the rows are there: they are this call's."""
    made = record()
    for _ in range(2):
        assert await stored.create_request(made, None, redrive_at=NOW + MINUTE, key=key) is None


async def test_a_list_that_is_sent_again_leaves_nothing(
    stored: TableStatusLog, key: IdempotencyKey, storage: Storage
) -> None:
    """A long list is stored before its request is made: when the key is taken it goes."""
    request = RevocationRequest(users=NamedUsers([f"user{number}@contoso.com" for number in range(2100)]))
    first, second = record(), record()
    assert await stored.create_request(first, request, redrive_at=NOW + MINUTE, key=key) is None
    assert await stored.create_request(second, request, redrive_at=NOW + MINUTE, key=key)
    found = {
        made.id: [
            entity["RowKey"]
            async for entity in storage.table("RevocationState").query_entities(
                f"PartitionKey eq '{inputs_partition(made.id)}'"
            )
        ]
        for made in (first, second)
    }
    assert (bool(found[first.id]), found[second.id]) == (True, [])


async def test_a_key_is_known_when_a_new_partition_has_begun_meanwhile(
    stored: TableStatusLog, key: IdempotencyKey
) -> None:
    """A partition holds 2.2 years: a key that was used in its last hour counts in the first of the next one."""
    begins = NOW
    while request_partition(inverted_time(begins)) == request_partition(inverted_time(NOW)):
        begins += timedelta(days=10)
    while request_partition(inverted_time(begins - MINUTE)) != request_partition(inverted_time(NOW)):
        begins -= MINUTE
    first, second = record(begins - MINUTE), record(begins + MINUTE)
    assert request_partition(first.id) != request_partition(second.id)
    assert await stored.create_request(first, None, redrive_at=None, key=key) is None
    assert await stored.create_request(second, None, redrive_at=None, key=key) == Claim(
        request_id=first.id, digest="digest"
    )
    assert await stored.get_claim(key.scope, key.key, begins + timedelta(days=1)) is not None
