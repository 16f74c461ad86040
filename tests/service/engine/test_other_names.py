"""One person under two names, of which Graph does not know one: the other name goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine import counted, new_record, stored_run
from listing import code
from steps import NAMES

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.user_state import Counts

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

UPN = NAMES[0]
ID = object_id(UPN)


async def accepted(engine: Engine, *names: str, groups: tuple[str, ...] = ()) -> RequestRecord:
    record = new_record(datetime.now(UTC), counts=Counts(total=len(names), pending=len(names)))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(names), groups=groups))
    return record


async def outcome(engine: Engine, request_id: str) -> list[tuple[str, str, str | None]]:
    return [(row.given, row.status.value, code(row.problem)) for row in await engine.log.all_rows(request_id)]


@pytest.mark.parametrize("names", [(ID, UPN), (UPN, ID)])
async def test_a_stale_404_for_the_id_does_not_swallow_the_upn(
    engine: Engine, directory: Directory, names: tuple[str, str]
) -> None:
    """A replica knows one name and not yet the other: that one is failed for certain, and the person is revoked."""
    await directory.fault(f"^/users/{ID}", status=404)
    record = await accepted(engine, *names, ID.upper())
    final = await engine.resume(record.id)
    rows = {given: (status, error) for given, status, error in await outcome(engine, record.id)}
    assert rows == {ID: ("failed", "userNotFound"), UPN: ("verified", None)}
    assert (final.status, final.counts.duplicates) == (RequestStatus.PARTIALLY_SUCCEEDED, 1)
    assert await directory.served() == [ID]


async def test_a_stale_404_for_the_upn_does_not_swallow_the_id(engine: Engine, directory: Directory) -> None:
    """The other way round."""
    await directory.fault(f"^/users/{UPN}", status=404)
    record = await accepted(engine, UPN, ID)
    await engine.resume(record.id)
    assert await outcome(engine, record.id) == [(UPN, "failed", "userNotFound"), (ID, "verified", None)]
    assert await directory.served() == [ID]


async def test_another_page_and_another_worker_know_it_too(engine: Engine, directory: Directory) -> None:
    """What a failed name stands for is read from its row: the person is found again through a group."""
    await directory.fault(f"^/users/{ID}", status=404)
    group = await directory.group("Other names", [UPN])
    record = await accepted(engine, ID, groups=(group,))
    await directory.fault("^/groups", status=503)
    await engine.resume(record.id, max_idle=0)
    run = await stored_run(engine.log, record.id)
    assert (run.positions, run.planned) == (1, False)
    await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [(row.user_id, row.status.value) for row in rows] == [(ID, "failed"), (ID, "verified")]
    assert await directory.served() == [ID]
    final = await engine.log.get_request(record.id)
    assert final
    assert final.counts == counted(rows)
