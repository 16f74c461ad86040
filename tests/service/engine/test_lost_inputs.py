"""Somebody has removed or damaged what a request asks for: it ends and says so, and is not tried for ever."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables import UpdateMode
from engine import counted, new_record
from listing import code
from steps import NAMES, ago, begun, person

from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE
from revoke_core.adapters.tables.inputs import inputs_partition
from revoke_core.adapters.tables.rows import request_partition, row_key
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.run import SendIntent
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

FOREIGN = b"no deflated JSON"
NOT_NAMES = zlib.compress(json.dumps(["../me", 5]).encode())


async def damage(engine: Engine, request_id: str, **columns: Any) -> None:
    """Overwrite columns of the request's row; ``None`` takes one away."""
    table = engine.storage.table(REQUESTS_TABLE)
    entity = dict(await table.get_entity(request_partition(request_id), request_id)) | columns
    await table.update_entity({name: value for name, value in entity.items() if value is not None}, UpdateMode.REPLACE)


@pytest.mark.parametrize("columns", [{"Input": None}, {"Input": FOREIGN}, {"InputUsers": FOREIGN}], ids=str)
async def test_a_request_whose_inputs_are_lost_ends_and_says_so(
    engine: Engine, directory: Directory, columns: dict[str, Any]
) -> None:
    """Nobody is revoked, the caller is told, and neither timer nor queue comes back to it."""
    record = new_record(datetime.now(UTC), counts=Counts(total=3, pending=3))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:3])))
    await damage(engine, record.id, **columns)
    final = await engine.resume(record.id)
    assert (final.status, code(final.problem), final.counts) == (RequestStatus.FAILED, "inputsLost", Counts())
    assert await directory.served() == []
    assert record.id not in await engine.open_ids(datetime.max.replace(tzinfo=UTC))


async def test_calls_in_flight_are_settled_before_it_ends(engine: Engine, directory: Directory) -> None:
    """Who was revoked is verified, who may have been is read, and who was never sent is told why."""
    rows = [person(1, status=UserStatus.VERIFIED), person(2), person(3)]
    intent = SendIntent(positions=(2,), sent_at=ago(seconds=10))
    record, _ = await begun(engine, rows, intents=(intent,))
    await directory.move_cut_off(rows[1].user_id or "")
    await damage(engine, record.id, Input=None)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [(row.status.value, code(row.problem)) for row in after] == [
        ("verified", None),
        ("verified", None),
        ("failed", "inputsLost"),
    ]
    assert (final.status, code(final.problem), final.counts) == (RequestStatus.FAILED, "inputsLost", counted(after))
    assert await directory.served() == []


@pytest.mark.parametrize("how", ["missing", "damaged", "no names"])
async def test_a_part_of_a_long_list_that_is_lost_ends_it_too(engine: Engine, directory: Directory, how: str) -> None:
    """Whoever was planned before has a row, and nobody waits for a page that never comes."""
    people = await directory.people(2_100, "parts")
    record = new_record(datetime.now(UTC), dry_run=True, counts=Counts(total=2_100, pending=2_100))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(people), dry_run=True))
    table = engine.storage.table(STATE_TABLE)
    entity = dict(await table.get_entity(inputs_partition(record.id), row_key(0)))
    del entity["Part01"]
    more = {"missing": {}, "damaged": {"Part01": FOREIGN}, "no names": {"Part01": NOT_NAMES}}[how]
    await table.update_entity(entity | more, UpdateMode.REPLACE)
    final = await engine.resume(record.id, seconds=60)
    rows = await engine.log.all_rows(record.id)
    assert (final.status, code(final.problem), final.counts) == (RequestStatus.FAILED, "inputsLost", counted(rows))
    assert [row.user_id for row in rows] == people[:1_998]
