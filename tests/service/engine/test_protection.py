from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import new_record, stored_run
from steps import NAMES, begun, controls, person, submitter

from local.simulator.directory import object_id
from revoke_core.domain import problems
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestStatus
from revoke_core.domain.user_state import Counts, UserStatus
from revoke_core.service.engine.protection import ProtectedListUnreadable
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.service.engine.protection import ProtectedUsers
    from revoke_core.service.intake.submit import Submitter

GROUP = "8f5d1c2e-0000-4000-8000-0000000000aa"
PERSON = "8F5D1C2E-0000-4000-8000-0000000000BB"
USER = {"@odata.type": "#microsoft.graph.user"}
DEVICE = {"@odata.type": "#microsoft.graph.device"}


def protected(engine: Engine) -> ProtectedUsers:
    engine.protect(group=GROUP)
    return engine.protected


async def answered(directory: Directory, *pages: dict[str, Any]) -> None:
    for page in pages:
        await directory.fault("^/groups", status=200, body=page)


async def test_members_are_protected_by_their_ids_on_every_page(engine: Engine, directory: Directory) -> None:
    """Whatever the case of an id, with or without a type; what has no sessions needs no id."""
    following = f"{directory.root}/v1.0/groups/{GROUP}/transitiveMembers?$skiptoken=2"
    await answered(
        directory,
        {"value": [USER | {"id": PERSON}, DEVICE | {"id": None}, DEVICE], "@odata.nextLink": following},
        {"value": [{"id": GROUP, "@odata.type": None}]},
    )
    assert await protected(engine).keys() == {PERSON.lower(), GROUP}


@pytest.mark.parametrize("entry", [USER, USER | {"id": None}, USER | {"id": "x"}, {"displayName": "Root"}, None, "x"])
async def test_a_member_who_cannot_be_told_makes_the_list_unreadable(
    engine: Engine, directory: Directory, entry: Any
) -> None:
    """Passed over in silence, the user behind that entry would be revoked."""
    await answered(directory, {"value": [USER | {"id": PERSON}, entry]})
    with pytest.raises(ProtectedListUnreadable):
        await protected(engine).keys()


@pytest.mark.parametrize("link", [5, {"href": "x"}, "", False])
async def test_a_page_that_leads_nowhere_makes_the_list_unreadable(
    engine: Engine, directory: Directory, link: Any
) -> None:
    """It is not the last one; whoever stands on the next would be revoked."""
    await answered(directory, {"value": [USER | {"id": PERSON}], "@odata.nextLink": link})
    with pytest.raises(ProtectedListUnreadable):
        await protected(engine).keys()


async def test_the_list_is_read_again_by_a_host_whose_clock_was_set_back(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Its last reading seems to lie ahead; whoever has been protected since would be revoked for as long."""
    engine, clock = still
    await answered(directory, {"value": [{"id": GROUP}]}, {"value": [USER | {"id": PERSON}]})
    protection = protected(engine)
    assert await protection.keys() == {GROUP}
    clock.jump(hours=-1)
    assert await protection.keys() == {PERSON.lower()}


def guarded(engine: Engine) -> Submitter:
    """What accepts requests where a group is protected."""
    engine.protect(group=GROUP)
    return submitter(engine)


async def test_a_message_waits_for_the_protected_list_and_a_caller_is_told(
    engine: Engine, directory: Directory
) -> None:
    """Who can repeat the call is refused; a message would end in the poison queue, and its users be forgotten."""
    adele, bob = object_id("adele@contoso.com"), object_id("bob@contoso.com")
    await directory.group("Protected", [bob], id=GROUP)
    await directory.fault("^/groups", times=3, status=503)
    request = RevocationRequest(users=NamedUsers([adele, bob]))
    asked = {"request": request, "requested_by": RequestedBy(kind="local")}
    later = datetime.now(UTC) + timedelta(hours=1)
    before = await engine.open_ids(later)
    with pytest.raises(Unavailable):
        await guarded(engine).submit(Submission(source="http", **asked), within=timedelta(seconds=20))
    assert await engine.open_ids(later) == before
    record = (await guarded(engine).submit(Submission(source="queue", **asked), within=timedelta(seconds=60))).record
    rows = await engine.log.all_rows(record.id)
    assert [row.status for row in rows] == [UserStatus.VERIFIED, UserStatus.SKIPPED]
    assert await directory.served() == [adele]


ADELE, BOB = "adele@contoso.com", "bob@contoso.com"


@pytest.mark.parametrize(
    ("kept", "target", "sent"),
    [
        (object_id(BOB), BOB, []),
        (object_id(BOB), ADELE, []),
        (BOB, object_id(BOB), []),
        (object_id(BOB), object_id(ADELE), [object_id(ADELE)]),
        (BOB, ADELE, [object_id(ADELE)]),
        (BOB, BOB.upper(), []),
    ],
)
async def test_nobody_is_sent_who_may_be_protected(
    engine: Engine, directory: Directory, kept: str, target: str, sent: list[str]
) -> None:
    """Where the app may not read users, an id and a UPN cannot be told to be one person: then nobody is sent."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    engine.protect(kept)
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers([target])))
    ended = await engine.resume(record.id, seconds=3, max_idle=1)
    assert [entry["userId"] for entry in await directory.revocations()] == sent
    is_told = kept.lower() == target.lower()
    assert ended.status.is_final is (bool(sent) or is_told)


async def test_whoever_is_protected_after_planning_is_not_sent(engine: Engine, directory: Directory) -> None:
    """A request may be held, paused or throttled for a day; the list counts as it is when the call leaves."""
    engine.limits = replace(engine.limits, max_unconfirmed=1)
    late, other = await directory.people(2, "late")
    record = new_record(datetime.now(UTC), counts=Counts())
    await engine.log.create_request(record, RevocationRequest(groups=(await directory.group("Late", [late, other]),)))
    assert (await engine.resume(record.id)).status is RequestStatus.HELD
    engine.protect(late)
    await controls(engine).confirm(record, 2)
    ended = await engine.resume(record.id)
    assert (ended.counts.skipped, ended.counts.verified, ended.counts.pending) == (1, 1, 0)
    told = {row.user_id: (row.status, row.problem) for row in await engine.log.all_rows(record.id)}
    assert told == {late: (UserStatus.SKIPPED, problems.PROTECTED), other: (UserStatus.VERIFIED, None)}
    assert await directory.served() == [other]


async def test_a_request_whose_users_are_all_protected_by_now_ends(engine: Engine, directory: Directory) -> None:
    """No call is made for nobody."""
    record, _ = await begun(engine, [person(1), person(2)])
    engine.protect(*NAMES[:2])
    ended = await engine.resume(record.id)
    assert (ended.status.is_final, ended.counts.skipped) == (True, 2)
    assert (await directory.served(), (await stored_run(engine.log, record.id)).intents) == ([], ())


async def test_whom_graph_told_without_a_upn_keeps_nobody_waiting(engine: Engine, directory: Directory) -> None:
    """There is no more to be learnt of that user, and the others of the call are none the worse."""
    without = replace(person(1), user_principal_name=None, valid_from_before=datetime.now(UTC) - timedelta(days=1))
    record, _ = await begun(engine, [without, person(2)])
    engine.protect("boss@contoso.com")
    assert (await engine.resume(record.id)).counts.verified == 2
    assert len(await directory.served()) == 2


async def test_when_nobody_is_left_to_send_nothing_stands_in_the_way(engine: Engine, directory: Directory) -> None:
    """The list could not be read for a moment; then it says that the last one is protected, and no call follows."""
    waits = person(1, status=UserStatus.REVOKED, sent_at=datetime.now(UTC) + timedelta(seconds=30), attempts=1)
    record, _ = await begun(engine, [waits, person(2)])
    await directory.group("Protected", [object_id(NAMES[1])], id=GROUP)
    await directory.fault("^/groups", status=503)
    engine.protect(group=GROUP)
    await engine.resume(record.id, seconds=20, max_idle=15)
    run = await stored_run(engine.log, record.id)
    assert (run.counts.skipped, run.blocked_by) == (1, None)


async def test_planned_users_wait_for_the_protected_list(engine: Engine, directory: Directory) -> None:
    """Whoever was planned while it could be read is sent once it can be read again."""
    record, _ = await begun(engine, [person(1), person(2)])
    await directory.group("Protected", [object_id(NAMES[0])], id=GROUP)
    await directory.fault("^/groups", status=503)
    engine.protect(group=GROUP)
    assert (await engine.resume(record.id, max_idle=0)).status is RequestStatus.RUNNING
    run = await stored_run(engine.log, record.id)
    assert (run.blocked_by, run.intents) == (problems.PROTECTED_UNREADABLE.code, ())
    assert await directory.served() == []
    ended = await engine.resume(record.id)
    assert (ended.counts.skipped, ended.counts.verified) == (1, 1)
    assert await directory.served() == [object_id(NAMES[1])]


async def test_calls_that_leave_together_read_the_list_once(engine: Engine, directory: Directory) -> None:
    """It may have many pages, and each of them is a call."""
    await directory.group("Protected", [object_id(BOB)], id=GROUP)
    protection = protected(engine)
    known = await asyncio.gather(*(protection.keys() for _ in range(8)))
    assert set(known) == {frozenset({object_id(BOB)})}
    assert [number for route, number in (await directory.calls()).items() if "/groups" in route] == [1]


async def test_whoever_was_looked_up_is_compared_by_id_and_name(engine: Engine, directory: Directory) -> None:
    """Where the app has lost the permission to read since, those whom it knows by one form alone wait."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    known, _ = await begun(engine, [person(1), person(2)], verifying=False)
    blind, _ = await begun(engine, [replace(person(3), position=1, user_principal_name=None)], verifying=False)
    engine.protect(NAMES[0])
    assert (await engine.resume(known.id)).counts.skipped == 1
    await engine.resume(blind.id, seconds=3, max_idle=0)
    assert (await stored_run(engine.log, blind.id)).blocked_by == problems.PROTECTED_UNREADABLE.code
    assert await directory.served() == [object_id(NAMES[1])]
