"""A user who cannot be looked up, sent or read now waits apart: the others of the request never wait for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine import Engine, counted, new_record, stored_run
from listing import code
from steps import controls

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestRecord, RequestStatus
from revoke_core.domain.schedules import LIFETIME
from revoke_core.domain.user_state import Counts, UserStatus
from revoke_core.service.engine import planner

if TYPE_CHECKING:
    from listing import Directory
    from steps import JumpingClock

POISONS: list[tuple[dict[str, Any], str]] = [
    ({"status": 500}, "by id"),
    ({"status": 409}, "by UPN"),
    ({"status": 423}, "in a group"),
    ({"status": 200, "body": {}}, "by id"),
    ({"status": 404, "raw": "<html>not here</html>"}, "by UPN"),
    ({"drop": "before"}, "in a group"),
]


async def accepted(engine: Engine, request: RevocationRequest) -> RequestRecord:
    named = request.distinct()
    record = new_record(engine.clock.now(), dry_run=request.dry_run, counts=Counts(total=named, pending=named))
    await engine.log.create_request(record, request)
    return record


async def poisoned(directory: Directory, user: str, action: dict[str, Any], *, method: str = "GET") -> None:
    """From now on Graph answers so to every call of a kind for one user."""
    await directory.post("faults", {"match": {"method": method, "userId": user}, "times": None, "action": action})


def statuses(rows: list[Any]) -> list[UserStatus]:
    return [row.status for row in rows]


@pytest.mark.parametrize(("action", "how"), POISONS, ids=[f"{action} {how}" for action, how in POISONS])
async def test_one_of_sixty_who_cannot_be_looked_up_holds_nobody_up(
    engine: Engine, directory: Directory, action: dict[str, Any], how: str
) -> None:
    """59 are verified within a minute, whatever Graph says of the 60th, and however they are named."""
    people = await directory.people(60, "apart")
    await poisoned(directory, people[7], action)
    names = people if how == "by id" else [f"apart{number}@contoso.com" for number in range(60)]
    request = RevocationRequest(users=NamedUsers(names))
    if how == "in a group":
        request = RevocationRequest(groups=(await directory.group("Apart", people),))
    record = await accepted(engine, request)
    await engine.resume(record.id, seconds=40, max_idle=4)
    rows = await engine.log.all_rows(record.id)
    waiting = rows.pop(7)
    assert statuses(rows) == [UserStatus.VERIFIED] * 59
    assert (waiting.status, waiting.attempts) == (UserStatus.PENDING, 0)
    run = await stored_run(engine.log, record.id)
    assert (run.counts, run.blocked_by, run.planned) == (counted([*rows, waiting]), "graphUnavailable", True)


async def test_planning_waits_while_too_many_await_their_look_up(
    still: tuple[Engine, JumpingClock], directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are an outage, and a list of 100,000 users must not end up in memory for it."""
    engine, clock = still
    monkeypatch.setattr(planner, "_MOST_DEFERRED", 50)
    people = await directory.people(250, "outage")
    await directory.fault("^/users", times=None, status=500)
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    await engine.resume(record.id, seconds=12, max_idle=3)
    assert (await stored_run(engine.log, record.id)).positions == 100
    await directory.well_again()
    clock.jump(minutes=1)
    final = await engine.resume(record.id, seconds=60)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 250)


async def test_who_is_named_by_id_is_sent_at_last_although_nobody_can_look_it_up(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """A session that goes on is worse than a call whose effect is read later: the object id is all that it takes."""
    engine, clock = still
    people = await directory.people(3, "unread")
    await poisoned(directory, people[1], {"status": 500})
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    for _ in range(5):
        await engine.resume(record.id, seconds=30, max_idle=4)
        clock.jump(seconds=35)
    assert sorted(await directory.served()) == sorted(people)
    await directory.well_again()
    clock.jump(minutes=5)
    final = await engine.resume(record.id, seconds=30)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, 3)
    assert final.warnings == ()


@pytest.mark.parametrize("why", ["named by UPN", "may be excluded", "may be protected", "dry run"])
async def test_who_cannot_be_told_from_those_to_be_spared_is_never_sent(
    still: tuple[Engine, JumpingClock], directory: Directory, why: str
) -> None:
    """It ends by itself after a day, with the cause; the others have long been done with."""
    engine, clock = still
    people = await directory.people(3, "spared")
    await poisoned(directory, people[1], {"status": 500})
    if why == "may be protected":
        engine.protect("nobody-of-this-name@contoso.com")
    if why == "may be excluded":
        await poisoned(directory, object_id("carol@contoso.com"), {"status": 500})
    request = RevocationRequest(
        users=NamedUsers([people[0], "spared1@contoso.com" if why == "named by UPN" else people[1], people[2]]),
        exclude=tuple(NamedUsers(["carol@contoso.com"])) if why == "may be excluded" else (),
        dry_run=why == "dry run",
    )
    record = await accepted(engine, request)
    for _ in range(5):
        await engine.resume(record.id, seconds=30, max_idle=4)
        clock.jump(minutes=5)
    assert people[1] not in await directory.served()
    if why == "may be excluded":
        assert "could not be looked up" in " ".join((await stored_run(engine.log, record.id)).warnings)
    clock.jump(seconds=LIFETIME.total_seconds())
    await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    done = UserStatus.PLANNED if why == "dry run" else UserStatus.VERIFIED
    assert statuses(rows) == [done, UserStatus.FAILED, done]
    assert code(rows[1].problem) == "graphUnavailable"


async def test_who_is_looked_up_later_is_judged_as_ever(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Excluded, protected, external, unknown, or named by another name as well: nothing is forgotten for the delay."""
    engine, clock = still
    people = await directory.people(4, "late")
    guest = await directory.people(1, "late_fabrikam.com#EXT#", creationType="Invitation", externalUserState="Accepted")
    names = [f"late{number}@contoso.com" for number in range(4)] + ["late_fabrikam.com#EXT#0@contoso.com"]
    engine.protect(people[1])
    for user in (*people[:3], *guest):
        await poisoned(directory, user, {"status": 500})
    request = RevocationRequest(
        users=NamedUsers([*names, people[2], people[3]]), exclude=tuple(NamedUsers([people[0]]))
    )
    # Named by id the same user can be looked up: it is one user all the same.
    record = await accepted(engine, request)
    await engine.resume(record.id, seconds=30, max_idle=3)
    await directory.well_again()
    clock.jump(minutes=6)
    final = await engine.resume(record.id, seconds=30)
    rows = await engine.log.all_rows(record.id)
    assert [(row.status.value, code(row.problem)) for row in rows] == [
        ("skipped", "excluded"),
        ("skipped", "protected"),
        ("skipped", "duplicate"),
        ("verified", None),
        ("skipped", "externalUser"),
        ("verified", None),
    ]
    assert sorted(await directory.served()) == sorted([people[2], people[3]])
    assert (final.counts, final.status) == (counted(rows, duplicates=1), RequestStatus.PARTIALLY_SUCCEEDED)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_waits_apart_ends_with_a_cancelled_request(engine: Engine, directory: Directory, method: str) -> None:
    """A cancel waits for nobody's pause."""
    people = await directory.people(5, "cancelled")
    await poisoned(directory, people[2], {"status": 423}, method=method)
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    await engine.resume(record.id, seconds=20, max_idle=3)
    await controls(engine).cancel(record)
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.status.value for row in rows] == ["verified", "verified", "skipped", "verified", "verified"]
    assert (final.status, final.counts) == (RequestStatus.CANCELLED, counted(rows))


async def test_one_user_whose_revoke_is_always_in_doubt_ends_with_its_cause(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Its doubt is nobody else's, and after a day it is called what it was: Graph that does not answer."""
    engine, clock = still
    people = await directory.people(4, "doubt")
    await poisoned(directory, people[1], {"status": 500}, method="POST")
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    running = await engine.resume(record.id, seconds=20, max_idle=2)
    assert (running.counts.verified, running.counts.pending) == (3, 1)
    assert "server error" in running.warnings[0]
    clock.jump(seconds=LIFETIME.total_seconds())
    await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert code(rows[1].problem) == "graphUnavailable"


async def test_a_throttled_look_up_is_nobodys_own_matter(engine: Engine, directory: Directory) -> None:
    """Graph asks the app to wait, so nobody is deferred: the page is looked up once the pause is over."""
    people = await directory.people(5, "paused")
    action = {"status": 429, "headers": {"Retry-After": "2"}}
    await directory.post("faults", {"match": {"method": "GET", "path": "^/users/"}, "times": 5, "action": action})
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    final = await engine.resume(record.id, seconds=30)
    assert final.counts.verified == 5
    assert {row.failed_lookups for saved in engine.log.saves for row in saved.rows} == {0}


async def test_one_user_whose_revoke_always_fails_costs_the_others_no_pause(
    engine: Engine, directory: Directory
) -> None:
    """Each of the others is sent once, in calls that follow each other at once."""
    people = await directory.people(100, "unsent")
    await poisoned(directory, people[3], {"status": 423}, method="POST")
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    began = datetime.now(UTC)
    await engine.resume(record.id, seconds=30, max_idle=3)
    rows = await engine.log.all_rows(record.id)
    waiting = rows.pop(3)
    assert statuses(rows) == [UserStatus.VERIFIED] * 99
    assert waiting.status is UserStatus.PENDING
    last = max(row.sent_at for row in rows if row.sent_at)
    first = min(row.sent_at for row in rows if row.sent_at)
    assert (last - first).total_seconds() < 1
    # After 1, 2 and 4 seconds, whenever the worker did not end before.
    assert waiting.attempts <= 2 + (datetime.now(UTC) - began).total_seconds() / 2


async def test_one_user_whose_cut_off_cannot_be_read_holds_up_no_proof(engine: Engine, directory: Directory) -> None:
    """The others are verified at once; that one stays revoked and is read again, less and less often."""
    people = await directory.people(60, "unproven")
    fault = {"match": {"method": "GET", "userId": people[3]}, "times": None, "after": 1, "action": {"status": 500}}
    await directory.post("faults", fault)
    record = await accepted(engine, RevocationRequest(users=NamedUsers(people)))
    await engine.resume(record.id, seconds=30, max_idle=3)
    rows = await engine.log.all_rows(record.id)
    assert rows.pop(3).status is UserStatus.REVOKED
    assert statuses(rows) == [UserStatus.VERIFIED] * 59
