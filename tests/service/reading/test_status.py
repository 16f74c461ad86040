from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import counted, new_record, stored_run, users
from steps import NAMES, begun, person

from local.simulator.directory import object_id
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain import problems
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import UserRef, parse_user
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import Counts, UserRow, UserStatus
from revoke_core.service.engine.request_warnings import UNPROVEN_BY_CHOICE
from revoke_core.service.reading.status import StatusReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine import Engine
    from listing import Directory

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.problems import Problem


class NotingIndex(TableUserIndex):
    """The real index; a test hears when users were entered."""

    def __init__(self, storage: Storage, entered: asyncio.Event) -> None:
        super().__init__(storage=storage)
        self._entered = entered

    async def add(self, request_id: str, rows: Sequence[UserRow]) -> None:
        """As the port."""
        await super().add(request_id, rows)
        self._entered.set()


def named(text: str) -> UserRef:
    user = parse_user(text)
    assert user
    return user


@pytest.fixture
def reader(engine: Engine) -> StatusReader:
    return StatusReader(log=engine.log, index=engine.index, budget=engine.budget, clock=engine.clock)


async def test_a_users_history_knows_what_a_running_request_has_done(engine: Engine, reader: StatusReader) -> None:
    """Its row still says what was accepted; counts and state are as anybody who asks for the request gets them."""
    rows = [*users(1, 3, status=UserStatus.VERIFIED), *users(4, 5)]
    accepted = Counts(total=5, pending=5)
    record = new_record(datetime.now(UTC), status=RequestStatus.RUNNING, counts=accepted)
    await engine.log.create_request(record, None)
    await engine.log.save_run(Run(request_id=record.id, planned=True, positions=5, counts=counted(rows)), rows)
    await engine.index.add(record.id, rows)
    user = UserRef(given="", text=rows[0].given, is_id=False)
    page = await reader.history(user, status=None, since=None, size=1, token=None)
    (entry,) = page.items
    assert (entry.record.counts, entry.users) == (counted(rows), [rows[0]])
    assert entry.record == (await reader.status(record.id)).record


async def test_nobody_is_shown_in_anothers_place(engine: Engine, reader: StatusReader, directory: Directory) -> None:
    """A worker died after it had entered a page's users by name; one of them has left the group since."""
    gone, stays = await directory.people(2, "departing")
    group = await directory.group("Leaving", [gone, stays])
    record = new_record(datetime.now(UTC), dry_run=True)
    await engine.log.create_request(record, RevocationRequest(groups=(group,), dry_run=True))
    entered = asyncio.Event()

    async def die_once_entered(run: Run) -> None:
        if run.positions and run.epoch == 1:
            await entered.wait()
            raise Unavailable("The storage was stopped by the test.")

    engine.index = NotingIndex(engine.storage, entered)
    engine.log.before_save = die_once_entered
    with pytest.raises(Unavailable):
        await engine.resume(record.id)
    await directory.group("Leaving", [stays])
    run = await stored_run(engine.log, record.id)
    await engine.log.save_run(replace(run, lease_until=None), [])
    assert (await engine.resume(record.id)).status is RequestStatus.PLANNED
    history = [
        await reader.history(named(user), status=None, since=None, size=10, token=None) for user in (gone, stays)
    ]
    assert [[row.user_id for item in page.items for row in item.users] for page in history] == [[], [stays]]


async def test_a_user_is_found_under_every_name(engine: Engine, reader: StatusReader) -> None:
    """As it was named, blanks and capitals apart, by object id and by UPN."""
    given = f" {NAMES[0].upper()} "
    row = UserRow(position=1, given=given, user_id=object_id(NAMES[0]), user_principal_name="Team.One@contoso.com")
    record = new_record(datetime.now(UTC), status=RequestStatus.SUCCEEDED)
    await engine.log.create_request(record, None)
    await engine.log.save_run(Run(request_id=record.id, planned=True, positions=1, counts=counted([row])), [row])
    await engine.index.add(record.id, [row])
    for name in (given, NAMES[0], object_id(NAMES[0]).upper(), "team.one@CONTOSO.com"):
        page = await reader.history(named(name), status=None, since=None, size=1, token=None)
        assert [item.users for item in page.items] == [[row]]


async def test_who_is_named_twice_is_shown_once_before_anything_is_planned(
    engine: Engine, reader: StatusReader
) -> None:
    """As it will be once the rows are there, and as the count of whoever accepted it has it."""
    request = RevocationRequest(users=NamedUsers([NAMES[0], NAMES[1], NAMES[0].upper()]))
    record = new_record(datetime.now(UTC), counts=Counts(total=2, pending=2, duplicates=1))
    await engine.log.create_request(record, request)
    status = await reader.status(record.id)
    assert [(row.position, row.given) for row in status.users] == [(1, NAMES[0]), (2, NAMES[1])]


async def test_no_estimate_lies_before_the_moment_a_request_goes_on(engine: Engine, reader: StatusReader) -> None:
    """While it waits for something else than the write rate, too: a token, Graph, storage."""
    rows = users(1, 2)
    record = new_record(datetime.now(UTC), status=RequestStatus.RUNNING, counts=counted(rows))
    await engine.log.create_request(record, None)
    waits_until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=4)
    run = Run(request_id=record.id, planned=True, positions=2, counts=counted(rows), due_at=waits_until)
    await engine.log.save_run(run, rows)
    status = await reader.status(record.id)
    assert status.finishes_at
    assert status.finishes_at >= waits_until


async def test_nobody_says_when_a_paused_request_is_done(engine: Engine, reader: StatusReader) -> None:
    """It looks every minute whether it may go on; that it then ends is for an operator to decide."""
    rows = users(1, 2)
    record = new_record(datetime.now(UTC), status=RequestStatus.RUNNING, counts=counted(rows))
    await engine.log.create_request(record, None)
    looks_at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
    run = Run(
        request_id=record.id, planned=True, positions=2, counts=counted(rows), due_at=looks_at, blocked_by="paused"
    )
    await engine.log.save_run(run, rows)
    status = await reader.status(record.id)
    assert (status.due_at, status.finishes_at) == (looks_at, None)


async def test_a_warning_is_there_as_long_as_what_it_warns_of(engine: Engine, reader: StatusReader) -> None:
    """A worker that goes on keeps the request in unit for minutes, and its row is written when it lets go."""

    def told(problem: Problem) -> tuple[str, ...]:
        return (UNPROVEN_BY_CHOICE, f"{problem.message} {problem.hint}")

    record, _ = await begun(engine, [person(1)], warnings=(UNPROVEN_BY_CHOICE,))
    engine.limits = replace(engine.limits, paused=True)
    await engine.resume(record.id, max_idle=1)
    assert (await reader.status(record.id)).record.warnings == told(problems.PAUSED)
    run = await stored_run(engine.log, record.id)
    run = await engine.log.save_run(replace(run, blocked_by=None), [])
    assert (await reader.status(record.id)).record.warnings == (UNPROVEN_BY_CHOICE,)
    await engine.log.save_run(replace(run, blocked_by=problems.THROTTLED.code), [])
    assert (await reader.status(record.id)).record.warnings == told(problems.THROTTLED)
