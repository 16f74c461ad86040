from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.pacing.budget import StoredBudget
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE
from revoke_core.adapters.tables.inputs import (
    PART_USERS,
    PROPERTY_BYTES,
    pack_head,
    pack_users,
    unpack,
    unpack_users,
)
from revoke_core.adapters.tables.rows import request_partition
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.entity_names import EntityName, EntityNameKind
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.named_users import NamedUsers, keys
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.service.engine.sources import PAGE_USERS
from revoke_core.service.reading.status import StatusReader

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage

BLANKS = st.text(" \t\r\n", max_size=3)
IDS = st.uuids().map(str) | st.uuids().map(lambda identity: str(identity).upper())
UPNS = st.from_regex(r"[A-Za-z0-9'.\-_!#^~$+]{1,64}@[a-z]{1,9}\.[a-z]{2,9}", fullmatch=True)
CALLERS = st.builds(lambda left, name, right: left + name + right, BLANKS, IDS | UPNS, BLANKS)
NAMES = st.lists(CALLERS, max_size=30)
SHOWN = st.text(max_size=50)
# What the reader of another product's payload may name a user by.
ENTITIES = st.builds(EntityName, st.sampled_from(EntityNameKind), SHOWN, SHOWN).map(lambda entity: entity.text)
# Lone surrogates are refused before anything is stored.
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    names=st.lists(CALLERS | ENTITIES, max_size=30),
    excluded=NAMES,
    groups=st.lists(st.uuids().map(str), unique=True, max_size=5),
    rest=st.tuples(TEXTS, TEXTS, st.booleans(), st.booleans(), st.booleans(), st.none() | st.integers(0, 10**9)),
)
def test_what_was_asked_comes_out_as_it_went_in(
    names: list[str],
    excluded: list[str],
    groups: list[str],
    rest: tuple[str | None, str | None, bool, bool, bool, int | None],
) -> None:
    """Whatever valid text a request holds."""
    wanted, reason, transitive, dry_run, verify, expected = rest
    request = RevocationRequest(
        users=NamedUsers(names),
        exclude=tuple(NamedUsers(excluded)),
        groups=tuple(groups),
        transitive=transitive,
        filter=wanted,
        reason=reason,
        dry_run=dry_run,
        verify=verify,
        expected_users=expected,
    )
    parts = list(pack_users(request.users))
    users = NamedUsers(text for _, data in parts for text in unpack_users(data).texts)
    read = unpack(pack_head(request, [size for size, _ in parts]), users)
    assert read == request
    assert read.digest() == request.digest()
    assert sum(read.part_sizes) == len(names)
    assert [user.key for user in read.users] == list(keys(request.users))
    assert [user.named for user in read.users] == names


def incompressible(count: int, seed: int = 1) -> list[str]:
    """Names of the greatest length that deflate badly."""
    dice = random.Random(seed)  # noqa: S311 -- made-up names, no secret
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"

    def label(length: int) -> str:
        return "".join(dice.choices(letters, k=length))

    return [f"{label(64)}@{label(63)}.{label(63)}.{label(63)}.{label(60)}" for _ in range(count)]


def test_parts_keep_both_limits() -> None:
    """Two pages of users and 60,000 bytes, whichever comes first, in the order named."""
    assert PART_USERS == 2 * PAGE_USERS
    short = [f"user{number}@contoso.com" for number in range(2 * PART_USERS + 1)]
    assert [size for size, _ in pack_users(NamedUsers(short))] == [PART_USERS, PART_USERS, 1]
    names = incompressible(2_000)
    parts = list(pack_users(NamedUsers(names)))
    assert len(parts) > 2
    assert max(len(data) for _, data in parts) <= PROPERTY_BYTES
    assert [user.given for _, data in parts for user in unpack_users(data)] == names


def record(request_id: str) -> RequestRecord:
    return RequestRecord(
        id=request_id,
        status=RequestStatus.ACCEPTED,
        source="http",
        requested_by=RequestedBy(kind="local"),
        requested_at=datetime.now(UTC),
    )


async def stored(log: TableStatusLog, request: RevocationRequest) -> str:
    request_id = new_request_id(datetime.now(UTC))
    await log.create_request(record(request_id), request, redrive_at=None)
    return request_id


async def parts_of(log: TableStatusLog, request_id: str) -> list[list[str]]:
    found = []
    while (users := await log.get_named_users(request_id, len(found))) is not None:
        found.append([user.given for user in users])
    return found


@pytest.mark.parametrize("count", [0, 1, PART_USERS])
async def test_a_small_request_is_one_write_and_one_read(
    storage: Storage, requests_sent: list[str], count: int
) -> None:
    """Its users stand in its own row."""
    log = TableStatusLog(storage=storage)
    names = [f"user{number}@contoso.com" for number in range(count)]
    request = RevocationRequest(users=NamedUsers(names), filter="department eq 'HP'")
    request_id = await stored(log, request)
    assert len(requests_sent) == 1
    read = await log.get_inputs(request_id)
    assert len(requests_sent) == 2
    assert read == request
    assert await parts_of(log, request_id) == ([names] if names else [])


async def test_a_large_request_is_read_part_by_part(storage: Storage) -> None:
    """The request comes without its users, each part by itself, and past the last there is nothing."""
    log = TableStatusLog(storage=storage)
    names = [f"{number:08x}-0000-4000-8000-{number:012x}" for number in range(30_001)]
    request_id = await stored(log, RevocationRequest(users=NamedUsers(names), reason="INC-1"))
    read = await log.get_inputs(request_id)
    assert read is not None
    assert (list(read.users), read.named, read.named_parts, read.reason) == ([], 30_001, 16, "INC-1")
    parts = await parts_of(log, request_id)
    assert [len(part) for part in parts] == list(read.part_sizes)
    assert [name for part in parts for name in part] == names


async def test_reading_a_part_moves_one_property(storage: Storage, requests_sent: list[str]) -> None:
    """The entity may hold twelve; only the one asked for travels."""
    log = TableStatusLog(storage=storage)
    request_id = await stored(log, RevocationRequest(users=NamedUsers(incompressible(2_000))))
    requests_sent.clear()
    users = await log.get_named_users(request_id, 3)
    assert users
    (sent,) = requests_sent
    assert re.search(r"[$]select=Part03(&|$)", sent), sent


async def test_entities_hold_at_most_twelve_parts(storage: Storage) -> None:
    """One entity stays below a mebibyte, even as the base64 in which it travels."""
    log = TableStatusLog(storage=storage)
    request_id = await stored(log, RevocationRequest(users=NamedUsers(incompressible(4_500))))
    found = storage.table(STATE_TABLE).query_entities("PartitionKey eq @p", parameters={"p": f"input-{request_id}"})
    sizes = [
        [len(value) for name, value in entity.items() if name.startswith("Part") and name != "PartitionKey"]
        async for entity in found
    ]
    assert len(sizes) > 1
    assert max(len(entity) for entity in sizes) == 12
    assert max(max(entity) for entity in sizes) <= PROPERTY_BYTES


async def test_a_head_that_outgrows_its_property_is_cut(storage: Storage) -> None:
    """A long list of exclusions is stored beside the request's row, like users."""
    log = TableStatusLog(storage=storage)
    request = RevocationRequest(
        users=NamedUsers(["adele@contoso.com"]), exclude=tuple(NamedUsers(incompressible(6_000)))
    )
    request_id = await stored(log, request)
    assert await log.get_inputs(request_id) == request
    row = await storage.table(REQUESTS_TABLE).get_entity(request_partition(request_id), request_id)
    assert (row["InputRows"], "Input" in row) == (2, False)


async def test_a_request_without_inputs_has_none(storage: Storage) -> None:
    """A refused message was never a request."""
    log = TableStatusLog(storage=storage)
    request_id = new_request_id(datetime.now(UTC))
    await log.create_request(record(request_id), None, redrive_at=None)
    assert await log.get_inputs(request_id) is None
    assert await log.get_named_users(request_id, 0) is None
    assert await log.get_inputs(new_request_id(datetime.now(UTC))) is None


@pytest.mark.parametrize("count", [3, 5_000])
async def test_the_first_users_show_before_anything_is_planned(storage: Storage, count: int) -> None:
    """At most a hundred, however many there are."""
    log = TableStatusLog(storage=storage)
    names = [f"user{number}@contoso.com" for number in range(count)]
    request_id = await stored(log, RevocationRequest(users=NamedUsers(names)))
    clock = SystemClock()
    budget = StoredBudget(row=SharedPaceRow(storage=storage, clock=clock), clock=clock, quota=3000)
    reader = StatusReader(log=log, index=TableUserIndex(storage=storage), budget=budget, clock=clock)
    status = await reader.status(request_id)
    assert [row.given for row in status.users] == names[:100]
