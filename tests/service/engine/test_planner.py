from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import counted, new_record, same_counts, stored_run, users
from steps import NAMES, controls

from revoke_core.domain.errors import Unavailable
from revoke_core.domain.identifiers import UserRef, new_request_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.run import Run
from revoke_core.domain.schedules import LEASE, LIFETIME
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from engine import Engine, WatchedLog
    from listing import Directory

    from revoke_core.domain.responses import Answer
    from revoke_core.domain.user_state import UserRow


async def accepted(engine: Engine, request: RevocationRequest) -> RequestRecord:
    named = request.distinct()
    record = new_record(
        datetime.now(UTC), dry_run=request.dry_run, verify=request.verify, counts=Counts(total=named, pending=named)
    )
    await engine.log.create_request(record, request)
    return record


async def left_by_a_dead_worker(engine: Engine, record: RequestRecord, *, after: int) -> Run:
    """The run of a worker whose storage stopped after so many transactions, and whose lease is over."""
    engine.log.saves_left = after
    with pytest.raises(Unavailable):
        await engine.resume(record.id)
    engine.log.saves_left = None
    run = await stored_run(engine.log, record.id)
    return await engine.log.save_run(replace(run, lease_until=datetime.now(UTC) - LEASE), [])


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
async def test_a_page_that_broke_off_is_planned_again_without_doubles(
    engine: Engine, directory: Directory, saves: int
) -> None:
    """Wherever it stopped: every user once, in order, entered by user, and the counts are the rows."""
    members = await directory.people(250, "planned")
    group = await directory.group("Planned", members)
    record = await accepted(engine, RevocationRequest(groups=(group,), dry_run=True))
    run = await left_by_a_dead_worker(engine, record, after=saves)
    assert run.positions in (0, 250)
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == members
    assert [row.position for row in rows] == list(range(1, 251))
    assert (final.status, final.counts) == (RequestStatus.PLANNED, counted(rows))
    for row in (rows[0], rows[-1]):
        page = await engine.index.find(UserRef(given="", text=row.user_id or "", is_id=True), size=10, token=None)
        assert (record.id, row.position) in page.items


async def test_who_left_the_group_meanwhile_leaves_no_row(engine: Engine, directory: Directory) -> None:
    """The first page stopped after its first users; planned again it is shorter, and what was left over goes."""
    members = await directory.people(250, "leaving")
    group = await directory.group("Leaving", members)
    record = await accepted(engine, RevocationRequest(groups=(group,), dry_run=True))
    # The run row by itself, and two transactions of the page.
    run = await left_by_a_dead_worker(engine, record, after=3)
    assert (run.positions, len(await engine.log.all_rows(record.id))) == (0, 198)
    await directory.group("Leaving", members[:5])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == members[:5]
    assert final.counts == counted(rows)


async def test_a_second_page_that_broke_off_is_trimmed(engine: Engine, directory: Directory) -> None:
    """The pages before it stay as they are, and who was named in them is folded by the next worker, too."""
    members = await directory.people(300, "twice")
    first, second = await directory.group("First", members[:120]), await directory.group("Second", members[60:])
    record = await accepted(engine, RevocationRequest(groups=(first, second), dry_run=True))
    # The run row, two transactions for the first page, and one of the second's.
    run = await left_by_a_dead_worker(engine, record, after=4)
    assert (run.positions, run.planned) == (120, False)
    assert len(await engine.log.all_rows(record.id)) > 120
    await directory.group("Second", [*members[60:], members[0]][:80])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == members[:140]
    assert final.counts == counted(rows, duplicates=60)


@pytest.mark.parametrize("how", ["cancelled", "refused", "too old"])
async def test_nobody_of_a_page_that_broke_off_is_counted_when_planning_ends_early(
    engine: Engine, directory: Directory, how: str
) -> None:
    """They were never accepted: the request ends, and the counts are the rows."""
    members = await directory.people(250, "early")
    group = await directory.group("Early", members)
    record = await accepted(engine, RevocationRequest(groups=(group,)))
    await left_by_a_dead_worker(engine, record, after=3)
    assert len(await engine.log.all_rows(record.id)) == 198
    if how == "cancelled":
        assert await engine.log.request_cancel(record.id, datetime.now(UTC))
    elif how == "refused":
        engine.max_users = 200
    else:
        await engine.log.update_request(replace(record, requested_at=datetime.now(UTC) - LIFETIME))
    final = await engine.resume(record.id)
    assert final.status.is_final
    assert await engine.log.all_rows(record.id) == []
    assert final.counts == Counts()


@pytest.mark.parametrize("how", ["cancelled", "too old"])
@pytest.mark.parametrize("planned", [0, 100])
async def test_whom_a_request_names_beside_a_group_has_a_last_word_when_planning_ends_early(
    engine: Engine, directory: Directory, how: str, planned: int
) -> None:
    """They were accepted, whoever else would have been found: each has a row, and no group is asked any more."""
    members = await directory.people(310, "beside")
    record = await accepted(
        engine, RevocationRequest(users=NamedUsers(members[:300]), groups=(await directory.group("Beside", members),))
    )
    if planned:
        run = await left_by_a_dead_worker(engine, record, after=3)
        assert (run.positions, run.planned) == (planned, False)
    if how == "too old":
        await engine.log.update_request(replace(record, requested_at=datetime.now(UTC) - LIFETIME))
    else:
        await controls(engine).cancel(record)
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == members[:300]
    status, code = (UserStatus.SKIPPED, "cancelled") if how == "cancelled" else (UserStatus.FAILED, "expired")
    assert {(row.status, row.problem and row.problem.code) for row in rows} == {(status, code)}
    assert final.status is (RequestStatus.CANCELLED if how == "cancelled" else RequestStatus.FAILED)
    assert final.counts == counted(rows)
    assert await directory.served() == []


@pytest.mark.parametrize(("status", "code"), [(503, "graphUnavailable"), (429, "throttled")])
async def test_a_group_that_could_not_be_read_for_a_day_is_not_said_to_be_empty(
    engine: Engine, directory: Directory, status: int, code: str
) -> None:
    """The request's error is what stood in the way, for nobody knows whom it would have come down to."""
    group = await directory.group("Unread", await directory.people(3, "unread"))
    await directory.post("faults", {"match": {"path": "groups"}, "times": None, "action": {"status": status}})
    record = await accepted(engine, RevocationRequest(groups=(group,)))
    await engine.resume(record.id, max_idle=0)
    run = await stored_run(engine.log, record.id)
    await engine.log.save_run(replace(run, due_at=None), [])
    await engine.log.update_request(replace(record, requested_at=datetime.now(UTC) - LIFETIME))
    final = await engine.resume(record.id)
    assert (final.status, final.problem and final.problem.code) == (RequestStatus.FAILED, code)
    assert final.counts == Counts()


async def test_what_is_left_over_goes_when_the_worker_that_planned_all_dies_before_it_takes_it_away(
    engine: Engine, directory: Directory
) -> None:
    """Planning is over by then: whoever comes next has nothing else to tell it by."""
    members = await directory.people(250, "over")
    group = await directory.group("Over", members)
    record = await accepted(engine, RevocationRequest(groups=(group,)))
    await left_by_a_dead_worker(engine, record, after=3)
    await directory.group("Over", members[:5])
    delete_after = engine.log.delete_after

    async def stopped(request_id: str, *, after: int) -> None:
        raise Unavailable(f"The storage was stopped by the test: {request_id}, {after}.")

    engine.log.delete_after = stopped  # type: ignore[method-assign] -- storage that stops at this point
    with pytest.raises(Unavailable):
        await engine.resume(record.id)
    engine.log.delete_after = delete_after  # type: ignore[method-assign] -- as it was
    run = await stored_run(engine.log, record.id)
    assert (run.planned, run.positions, len(await engine.log.all_rows(record.id))) == (True, 5, 198)
    await engine.log.save_run(replace(run, lease_until=datetime.now(UTC) - LEASE, cancel_requested=True), [])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == members[:5]
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(rows))


async def test_rows_that_somebody_else_takes_away_meanwhile_are_no_error(log: WatchedLog) -> None:
    """A worker that stood still, or a deletion whose answer was lost and which was made again."""
    run = await log.save_run(Run(request_id=new_request_id(datetime.now(UTC)), counts=Counts()), users(1, 99))
    await log.save_run(run, users(100, 130))
    rows = log.iter_users

    async def overtaken(request_id: str, *, after: int = 0) -> AsyncIterator[UserRow]:
        found = [row async for row in rows(request_id, after=after)]
        log.iter_users = rows  # type: ignore[method-assign] -- as it was
        await log.delete_after(request_id, after=50)
        for row in found:
            yield row

    log.iter_users = overtaken  # type: ignore[method-assign] -- the real one, with a rival behind it
    await log.delete_after(run.request_id, after=10)
    assert await log.all_rows(run.request_id) == users(1, 10)


async def test_users_of_a_page_are_sent_once_however_it_ends(engine: Engine, directory: Directory) -> None:
    """Named users are sent while the rest is planned; a worker that dies in between costs reads, no second call."""
    await directory.people(130, "sent")
    names = [f"sent{number}@contoso.com" for number in range(130)]
    record = await accepted(engine, RevocationRequest(users=NamedUsers([*names, *names[:7]])))
    await left_by_a_dead_worker(engine, record, after=6)
    final = await engine.resume(record.id, seconds=60, max_idle=60)
    rows = await engine.log.all_rows(record.id)
    assert {row.status for row in rows} == {UserStatus.VERIFIED}
    assert (final.status, final.counts) == (RequestStatus.SUCCEEDED, counted(rows, duplicates=7))
    assert sorted(await directory.served()) == sorted(row.user_id or "" for row in rows)


async def test_who_comes_again_with_a_list_that_began_again_was_not_named_twice(
    engine: Engine, directory: Directory
) -> None:
    """A page token had expired behind two pages; who really is in both groups is a duplicate, nobody else."""
    members = await directory.people(25, "expired")
    groups = [await directory.group("Expired", members), await directory.group("Both", members[:3])]
    await directory.configure(largestPage=10)
    body = {"error": {"code": "Directory_ExpiredPageToken", "message": ""}}
    await directory.fault("^/groups", after=2, status=400, body=body)
    record = await accepted(engine, RevocationRequest(groups=tuple(groups), dry_run=True))
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert sorted(row.user_id or "" for row in rows) == sorted(members)
    assert final.counts == counted(rows, duplicates=3)


async def test_too_many_found_users_end_the_request(engine: Engine, directory: Directory) -> None:
    """Nobody is revoked, those who have a row already included."""
    engine.max_users = 100
    members = await directory.people(150, "many")
    groups = [await directory.group("Some", members[:80]), await directory.group("Others", members[80:])]
    record = await accepted(engine, RevocationRequest(groups=tuple(groups)))
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert final.status is RequestStatus.FAILED
    assert final.problem
    assert final.problem.code == "tooManyUsers"
    assert {row.problem.code for row in rows if row.problem} == {"tooManyUsers"}
    assert final.counts == counted(rows)
    assert await directory.served() == []


async def test_counts_are_the_rows_while_pages_come_in(engine: Engine, directory: Directory) -> None:
    """At the moment the request is held, too."""
    engine.limits = replace(engine.limits, max_unconfirmed=3)
    members = await directory.people(5, "held")
    group = await directory.group("Held", members)
    record = await accepted(engine, RevocationRequest(groups=(group,)))
    held = await engine.resume(record.id)
    run = await stored_run(engine.log, record.id)
    assert held.status is RequestStatus.HELD
    assert run.due_at
    assert run.held_at
    assert run.due_at - run.held_at == timedelta(hours=24)
    same_counts(run, await engine.log.all_rows(record.id))


@pytest.mark.usefixtures("directory")
async def test_who_is_named_twice_on_a_page_is_looked_up_once(engine: Engine) -> None:
    """Reads are paid for, too."""
    read_users, asked = engine.graph.read_users, list[str]()

    async def noted(users: Sequence[UserRef]) -> list[Answer]:
        asked.extend(user.text for user in users)
        return await read_users(users)

    engine.graph.read_users = noted  # type: ignore[method-assign] -- the real one, noted
    await engine.lookup.look_up(NamedUsers([NAMES[0], NAMES[1], NAMES[0].upper()]))
    assert asked == NAMES[:2]
