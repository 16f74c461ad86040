"""Users whom another product's payload names by SID, by mail address, or not well enough: each is a row of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import Engine, counted, new_record, stored_run
from listing import code
from steps import submitter

from local.simulator.directory import object_id, security_identifier
from revoke_core.domain.entity_names import EntityName, EntityNameKind
from revoke_core.domain.identifiers import parse_user
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.schedules import LEASE, LIFETIME
from revoke_core.domain.user_state import Counts, UserStatus
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.domain.user_state import UserRow

ON_PREMISES = "S-1-5-21-1004336348-1177238915-682003330-1104"
NOBODYS = "S-1-5-21-1004336348-1177238915-682003330-9999"


def sid(text: str) -> str:
    return EntityName(EntityNameKind.SID, text).text


def mail(text: str) -> str:
    return EntityName(EntityNameKind.MAIL, text).text


def unresolved(shown: str, lacks: str) -> str:
    return EntityName(EntityNameKind.UNRESOLVED, shown, lacks).text


async def accepted(engine: Engine, *names: str, **more: Any) -> RequestRecord:
    request = RevocationRequest(users=NamedUsers(names), **more)
    named = request.distinct()
    record = new_record(
        engine.clock.now(),
        dry_run=request.dry_run,
        retry_of=request.retry_of,
        counts=Counts(total=named, pending=named, duplicates=len(names) - named),
    )
    await engine.log.create_request(record, request)
    return record


async def carried_out(engine: Engine, *names: str, **more: Any) -> tuple[RequestRecord, list[UserRow]]:
    """The request once a worker has done what it can, and its rows."""
    record = await engine.resume((await accepted(engine, *names, **more)).id, seconds=30)
    return record, await engine.log.all_rows(record.id)


def outcome(rows: list[UserRow]) -> list[tuple[str, str, str | None]]:
    return [(row.given, row.status.value, code(row.problem)) for row in rows]


def message(row: UserRow) -> str:
    return row.problem.message if row.problem else ""


HOLDERS: list[tuple[dict[str, Any], str]] = [
    ({"onPremisesSyncEnabled": True, "onPremisesSecurityIdentifier": ON_PREMISES}, sid(ON_PREMISES)),
    ({"onPremisesSyncEnabled": True, "onPremisesSecurityIdentifier": ON_PREMISES}, sid(ON_PREMISES.lower())),
    ({}, sid(security_identifier(object_id("held0@contoso.com")) or "")),
    ({"mail": "Heidi.Held@contoso.com"}, mail("heidi.held@contoso.com")),
    ({"mail": "o'held@contoso.com"}, mail("o'held@contoso.com")),
    ({"proxyAddresses": ["SMTP:x@contoso.com", "smtp:heidi@contoso.com"]}, mail("heidi@contoso.com")),
    ({"mail": None, "proxyAddresses": ["SMTP:heidi@contoso.com"]}, mail("heidi@contoso.com")),
    ({"mail": "heidi@contoso.com", "proxyAddresses": ["SMTP:heidi@contoso.com"]}, mail("heidi@contoso.com")),
]


@pytest.mark.parametrize("paging", ["one page", "empty pages before it"])
@pytest.mark.parametrize(("known", "name"), HOLDERS, ids=[f"{name} {[*known]}" for known, name in HOLDERS])
async def test_the_one_user_who_has_the_sid_or_the_mail_address_is_revoked_and_proven(
    engine: Engine, directory: Directory, known: dict[str, Any], name: str, paging: str
) -> None:
    """Active Directory's SID or Entra's own, ``mail`` or any of ``proxyAddresses``, however it is written."""
    (held,) = await directory.people(1, "held", **known)
    # Graph may compare the addresses exactly; nothing published says that it does not.
    await directory.configure(proxyAddressCase="exact", emptyPages=2 if paging != "one page" else 0)
    record, rows = await carried_out(engine, name)
    (row,) = rows
    assert (record.status, row.status) == (RequestStatus.SUCCEEDED, UserStatus.VERIFIED)
    assert (row.given, row.user_id, row.user_principal_name) == (name.partition(":")[2], held, "held0@contoso.com")
    assert (row.attempts, row.valid_from_before is not None) == (1, True)
    assert await directory.served() == [held]


AMBIGUOUS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"mail": "team@contoso.com"}, {"mail": "team@contoso.com"}, mail("team@contoso.com")),
    ({"mail": "team@contoso.com"}, {"proxyAddresses": ["smtp:team@contoso.com"]}, mail("team@contoso.com")),
    (
        {"onPremisesSecurityIdentifier": ON_PREMISES},
        {"onPremisesSecurityIdentifier": ON_PREMISES},
        sid(ON_PREMISES),
    ),
    ({"onPremisesSecurityIdentifier": ON_PREMISES}, {"securityIdentifier": ON_PREMISES}, sid(ON_PREMISES)),
]


@pytest.mark.parametrize(("first", "second", "name"), AMBIGUOUS)
async def test_a_name_that_two_users_have_revokes_neither(
    engine: Engine, directory: Directory, first: dict[str, Any], second: dict[str, Any], name: str
) -> None:
    """Which of them the payload means cannot be told; the row says how many have it."""
    await directory.people(1, "one", **first)
    await directory.people(1, "two", **second)
    record, rows = await carried_out(engine, name)
    assert outcome(rows) == [(name.partition(":")[2], "failed", "unresolvedEntity")]
    assert (rows[0].user_id, rows[0].attempts, record.status) == (None, 0, RequestStatus.FAILED)
    assert f"2 users in this tenant have the {'SID' if name.startswith('sid') else 'mail address'}" in message(rows[0])
    assert name.partition(":")[2] in message(rows[0])
    assert await directory.served() == []


@pytest.mark.parametrize("name", [sid(NOBODYS), mail("nobody.has.this@contoso.com")])
async def test_a_name_that_nobody_has_is_a_row_that_says_so(engine: Engine, directory: Directory, name: str) -> None:
    """The others of the request go on."""
    (other,) = await directory.people(1, "other")
    record, rows = await carried_out(engine, name, other)
    assert outcome(rows) == [
        (name.partition(":")[2], "failed", "unresolvedEntity"),
        (other, "verified", None),
    ]
    assert "No user in this tenant has" in message(rows[0])
    assert rows[0].problem
    assert "object id" in rows[0].problem.hint
    assert record.status is RequestStatus.PARTIALLY_SUCCEEDED


@pytest.mark.parametrize(
    "name", [sid("CONTOSO-1104"), sid("S-1-5-x"), mail("adele at contoso"), mail("a@b@" + "c" * 400)]
)
async def test_what_is_no_sid_and_no_mail_address_is_not_asked_for(
    engine: Engine, directory: Directory, name: str
) -> None:
    """Graph would refuse it, or match what was never meant."""
    _, rows = await carried_out(engine, name)
    assert outcome(rows) == [(name.partition(":")[2], "failed", "unresolvedEntity")]
    assert await directory.calls() == {}


async def test_an_entity_that_names_nobody_costs_no_call(engine: Engine, directory: Directory) -> None:
    """Its row says what it lacked; no token is needed to know that."""
    names = (
        unresolved("CONTOSO\\svc-backup", "no object id, no user principal name, no SID and no mail address"),
        unresolved("Adele Vance", "an object id that is none: 1234"),
    )
    record, rows = await carried_out(engine, *names)
    assert outcome(rows) == [
        ("CONTOSO\\svc-backup", "failed", "unresolvedEntity"),
        ("Adele Vance", "failed", "unresolvedEntity"),
    ]
    assert "no SID and no mail address" in message(rows[0])
    assert "1234" in message(rows[1])
    assert (record.status, record.counts) == (RequestStatus.FAILED, counted(rows))
    assert (await directory.calls(), await directory.tokens()) == ({}, 0)


async def test_one_person_under_five_names_is_one_row(engine: Engine, directory: Directory) -> None:
    """Object id, UPN, both SIDs and a mail address: sent once, and the others count as duplicates."""
    (held,) = await directory.people(
        1, "many", mail="many@contoso.com", onPremisesSecurityIdentifier=ON_PREMISES, onPremisesSyncEnabled=True
    )
    names = [sid(ON_PREMISES), held, mail("MANY@contoso.com"), "many0@contoso.com", sid(ON_PREMISES.lower())]
    record, rows = await carried_out(engine, *names, sid(security_identifier(held) or ""))
    assert outcome(rows) == [(ON_PREMISES, "verified", None)]
    assert (record.status, record.counts) == (RequestStatus.SUCCEEDED, counted(rows, duplicates=5))
    assert await directory.served() == [held]


async def test_a_mail_address_is_told_from_the_same_text_as_a_user_principal_name(
    engine: Engine, directory: Directory
) -> None:
    """A mailbox of one user may be called as another one signs in: two people, two rows."""
    (signs_in,) = await directory.people(1, "same", mail=None, proxyAddresses=[])
    (receives,) = await directory.people(1, "else", mail="same0@contoso.com")
    _, rows = await carried_out(engine, "same0@contoso.com", mail("same0@contoso.com"))
    assert [(row.given, row.user_id, row.status.value) for row in rows] == [
        ("same0@contoso.com", signs_in, "verified"),
        ("same0@contoso.com", receives, "verified"),
    ]
    # And where nobody has that mailbox, the row of the mail address fails alone.
    _, rows = await carried_out(engine, "adele@contoso.com", mail("same1@contoso.com"), "same1@contoso.com")
    assert [code(row.problem) for row in rows] == [None, "unresolvedEntity", "userNotFound"]


@pytest.mark.parametrize("listed", ["by id", "by UPN", "by mail address"])
@pytest.mark.parametrize("name", [sid(ON_PREMISES), mail("chief@contoso.com")])
async def test_a_protected_user_is_not_sent_under_such_a_name_either(
    engine: Engine, directory: Directory, name: str, listed: str
) -> None:
    """However the operator names the account."""
    (boss,) = await directory.people(
        1, "boss", mail="chief@contoso.com", onPremisesSecurityIdentifier=ON_PREMISES, onPremisesSyncEnabled=True
    )
    entry = {"by id": boss, "by UPN": "boss0@contoso.com", "by mail address": "chief@contoso.com"}[listed]
    engine.protect(entry)
    _, rows = await carried_out(engine, name)
    assert outcome(rows) == [(name.partition(":")[2], "skipped", "protected")]
    engine.protect()
    _, rows = await carried_out(engine, name, exclude=tuple(NamedUsers([entry])))
    assert outcome(rows) == [(name.partition(":")[2], "skipped", "excluded")]
    assert await directory.served() == []


async def test_they_are_judged_like_any_other_user(engine: Engine, directory: Directory) -> None:
    """An account that signs in elsewhere is skipped, a disabled one revoked, and a dry run plans."""
    await directory.people(
        1, "far_fabrikam.com#EXT#", mail="far@fabrikam.com", creationType="Invitation", externalUserState="Accepted"
    )
    (disabled,) = await directory.people(1, "left", mail="left@contoso.com", accountEnabled=False)
    names = (mail("far@fabrikam.com"), mail("left@contoso.com"), sid(NOBODYS), unresolved("Somebody", "nothing else"))
    record, rows = await carried_out(engine, *names, dry_run=True)
    assert outcome(rows) == [
        ("far@fabrikam.com", "skipped", "externalUser"),
        ("left@contoso.com", "planned", None),
        (NOBODYS, "failed", "unresolvedEntity"),
        ("Somebody", "failed", "unresolvedEntity"),
    ]
    assert (record.status, await directory.served()) == (RequestStatus.PLANNED, [])
    _, rows = await carried_out(engine, *names)
    assert [row.status.value for row in rows] == ["skipped", "verified", "failed", "failed"]
    assert await directory.served() == [disabled]


POISONS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 404, "raw": "<html>not here</html>"},
    {"status": 200, "body": {}},
    {"status": 200, "body": {"value": [{"userPrincipalName": "no.id@contoso.com"}]}},
    {"drop": "before"},
]


@pytest.mark.parametrize("action", POISONS, ids=str)
async def test_one_of_sixty_whose_name_cannot_be_looked_up_holds_nobody_up(
    still: tuple[Engine, JumpingClock], directory: Directory, action: dict[str, Any]
) -> None:
    """It waits by itself, is looked up again from its row alone, and is revoked once Graph answers."""
    engine, clock = still
    people = await directory.people(59, "apart")
    (waits,) = await directory.people(1, "poisoned", mail="poisoned@contoso.com", proxyAddresses=[])
    await directory.search_fault("poisoned", times=None, **action)
    names = [mail(f"apart{number}@contoso.com") for number in range(59)]
    record = await accepted(engine, *names[:7], mail("poisoned@contoso.com"), *names[7:], sid(NOBODYS))
    await engine.resume(record.id, seconds=40, max_idle=4)
    rows = await engine.log.all_rows(record.id)
    waiting = rows.pop(7)
    assert [row.status for row in rows] == [UserStatus.VERIFIED] * 59 + [UserStatus.FAILED]
    assert (waiting.status, waiting.given, waiting.attempts) == (UserStatus.PENDING, "poisoned@contoso.com", 0)
    assert (await stored_run(engine.log, record.id)).counts == counted([*rows, waiting])
    # It is a mail address, and must not be sent as the user principal name that it looks like.
    assert sorted(await directory.served()) == sorted(people)
    await directory.well_again()
    clock.jump(minutes=6)
    final = await engine.resume(record.id, seconds=30)
    assert (final.status, final.counts.verified) == (RequestStatus.PARTIALLY_SUCCEEDED, 60)
    assert (await directory.served())[-1] == waits


async def test_who_is_found_late_is_folded_protected_or_unresolved_as_ever(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """What is known late counts like what is known at once."""
    engine, clock = still
    twice, boss = (
        await directory.people(1, "twice", mail="t@contoso.com"),
        await directory.people(1, "bosslate", mail="b@contoso.com"),
    )
    engine.protect(*boss)
    await directory.search_fault("mail eq", times=None, status=500)
    record = await accepted(
        engine, mail("t@contoso.com"), mail("b@contoso.com"), mail("nobody.late@contoso.com"), *twice
    )
    await engine.resume(record.id, seconds=40, max_idle=3)
    await directory.well_again()
    clock.jump(minutes=6)
    await engine.resume(record.id, seconds=30)
    assert outcome(await engine.log.all_rows(record.id)) == [
        ("t@contoso.com", "skipped", "duplicate"),
        ("b@contoso.com", "skipped", "protected"),
        ("nobody.late@contoso.com", "failed", "unresolvedEntity"),
        (twice[0], "verified", None),
    ]
    assert await directory.served() == twice


async def test_a_name_that_is_never_answered_ends_after_a_day_and_is_not_sent(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """There is no object id to send it by."""
    engine, clock = still
    await directory.people(1, "silent", mail="silent@contoso.com")
    await directory.search_fault("mail eq", times=None, status=503)
    record = await accepted(engine, mail("silent@contoso.com"))
    for _ in range(6):
        await engine.resume(record.id, seconds=30, max_idle=4)
        clock.jump(minutes=5)
    clock.jump(seconds=LIFETIME.total_seconds())
    await engine.resume(record.id)
    assert outcome(await engine.log.all_rows(record.id)) == [("silent@contoso.com", "failed", "graphUnavailable")]
    assert await directory.served() == []


async def test_a_throttled_look_up_waits_as_long_as_graph_asks(engine: Engine, directory: Directory) -> None:
    """Nothing about the name is known by it, and nobody is deferred."""
    (held,) = await directory.people(1, "slow", mail="slow@contoso.com")
    await directory.search_fault("mail eq", times=2, status=429, headers={"Retry-After": "2"})
    began = datetime.now(UTC)
    _, rows = await carried_out(engine, mail("slow@contoso.com"))
    assert (rows[0].status, rows[0].user_id) == (UserStatus.VERIFIED, held)
    assert (datetime.now(UTC) - began).total_seconds() >= 4
    assert {row.failed_lookups for saved in engine.log.saves for row in saved.rows} == {0}


@pytest.mark.parametrize("rule", ["advanced", "refuse"])
async def test_a_filter_that_graph_does_not_take_ends_one_row_at_most(
    engine: Engine, directory: Directory, rule: str
) -> None:
    """An advanced query is asked as such. What Graph refuses finds nobody, and the other property may still tell."""
    (cloud,) = await directory.people(1, "cloud")
    (synced,) = await directory.people(1, "synced", onPremisesSecurityIdentifier=ON_PREMISES)
    await directory.configure(securityIdentifierFilter=rule)
    record, rows = await carried_out(engine, sid(security_identifier(cloud) or ""), sid(ON_PREMISES), "bob@contoso.com")
    found = [row.status.value for row in rows]
    assert found == (["verified"] * 3 if rule == "advanced" else ["failed", "verified", "verified"])
    assert rows[1].user_id == synced
    if rule == "refuse":
        assert (record.status, code(rows[0].problem)) == (RequestStatus.PARTIALLY_SUCCEEDED, "unresolvedEntity")
        assert "Request_UnsupportedQuery" in message(rows[0])


@pytest.mark.parametrize("protected", [False, True])
async def test_without_the_permission_to_read_users_such_names_are_never_sent(
    engine: Engine, directory: Directory, *, protected: bool
) -> None:
    """The row names the permission that is missing; who is named by id is revoked all the same."""
    (held,) = await directory.people(1, "blind", mail="blind@contoso.com")
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    await directory.post("tokens/forget", {})
    if protected:
        # A list of ids alone can be compared with an id, and names that are never sent need not be.
        engine.protect(object_id("breakglass@contoso.com"))
    names = (mail("blind@contoso.com"), sid(ON_PREMISES), unresolved("Adele Vance", "no id"), held)
    record, rows = await carried_out(engine, *names)
    assert outcome(rows) == [
        ("blind@contoso.com", "failed", "appPermissionMissing"),
        (ON_PREMISES, "failed", "appPermissionMissing"),
        ("Adele Vance", "failed", "unresolvedEntity"),
        (held, "revoked", None),
    ]
    assert "User.Read.All" in message(rows[0])
    assert rows[0].problem
    assert "appRoleAssignments" in rows[0].problem.hint
    assert record.status is RequestStatus.PARTIALLY_SUCCEEDED
    assert await directory.served() == [held]


async def test_a_page_that_broke_off_is_planned_again_alike(engine: Engine, directory: Directory) -> None:
    """The names are read back from storage, and looked up as before."""
    people = await directory.people(150, "again")
    names = [mail(f"again{number}@contoso.com") for number in range(150)]
    record = await accepted(engine, *names, sid(NOBODYS), unresolved("Adele Vance", "no id"), dry_run=True)
    engine.log.saves_left = 2
    with pytest.raises(Exception, match="stopped by the test"):
        await engine.resume(record.id)
    engine.log.saves_left = None
    run = await stored_run(engine.log, record.id)
    await engine.log.save_run(replace(run, lease_until=datetime.now(UTC) - LEASE), [])
    final = await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert [row.user_id for row in rows] == [*people, None, None]
    assert [row.position for row in rows] == list(range(1, 153))
    assert (final.status, final.counts) == (RequestStatus.PLANNED, counted(rows))


async def test_a_request_finds_them_by_the_user_they_came_down_to(engine: Engine, directory: Directory) -> None:
    """By object id and by UPN; the mail address itself is no name of a user here."""
    (held,) = await directory.people(1, "indexed", mail="mailbox.of@contoso.com")
    record, _ = await carried_out(engine, mail("mailbox.of@contoso.com"), sid(NOBODYS))
    for name, expected in ((held, [1]), ("Indexed0@contoso.com", [1]), ("mailbox.of@contoso.com", [])):
        user = parse_user(name)
        assert user
        page = await engine.index.find(user, size=10, token=None)
        assert [position for request_id, position in page.items if request_id == record.id] == expected


async def test_a_retry_resolves_such_names_anew(engine: Engine, directory: Directory) -> None:
    """Who has got the mail address or the SID meanwhile is revoked; what named nobody still does."""
    names = (mail("joiner@contoso.com"), sid(ON_PREMISES), unresolved("Adele Vance", "no id"))
    first, rows = await carried_out(engine, *names)
    assert [code(row.problem) for row in rows] == ["unresolvedEntity"] * 3
    joiner, synced = (
        await directory.people(1, "joiner", mail="joiner@contoso.com"),
        await directory.people(1, "late", onPremisesSecurityIdentifier=ON_PREMISES),
    )
    again, rows = await carried_out(engine, retry_of=first.id)
    assert outcome(rows) == [
        ("joiner@contoso.com", "verified", None),
        (ON_PREMISES, "verified", None),
        ("Adele Vance", "failed", "unresolvedEntity"),
    ]
    assert "no id" in message(rows[2])
    assert again.status is RequestStatus.PARTIALLY_SUCCEEDED
    assert sorted(await directory.served()) == sorted([*joiner, *synced])


async def test_what_is_known_of_a_name_is_not_asked_again_for_another_one(engine: Engine, directory: Directory) -> None:
    """One search fails at first and is repeated; that nobody has the other name was said already."""
    await directory.people(1, "second", mail="second@contoso.com")
    await directory.search_fault("second@contoso.com", times=2, status=500)
    _, rows = await carried_out(engine, mail("nobody.at.all@contoso.com"), mail("second@contoso.com"), dry_run=True)
    assert [row.status.value for row in rows] == ["failed", "planned"]
    assert (await directory.calls())["/users"] == 4


async def test_a_refusal_of_one_search_is_about_that_name_alone(engine: Engine, directory: Directory) -> None:
    """Graph's own 403 while the app may read others: no permission is missing, and the rest goes on."""
    (other,) = await directory.people(1, "allowed", mail="allowed@contoso.com")
    denied = {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges."}}
    await directory.search_fault("denied@contoso.com", times=None, status=403, body=denied)
    _, rows = await carried_out(engine, mail("denied@contoso.com"), mail("allowed@contoso.com"))
    assert outcome(rows) == [
        ("denied@contoso.com", "failed", "graphRefused"),
        ("allowed@contoso.com", "verified", None),
    ]
    assert await directory.served() == [other]


async def test_a_link_that_expires_within_a_search_says_nothing_about_the_name(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """The user may stand on the page that was not read: the search is made again."""
    engine, clock = still
    (held,) = await directory.people(1, "paged", mail="paged@contoso.com")
    await directory.configure(emptyPages=1, pageTokenLifeSeconds=0)
    record = await accepted(engine, mail("paged@contoso.com"))
    running = await engine.resume(record.id, seconds=20, max_idle=3)
    assert (running.status, running.counts.pending) == (RequestStatus.RUNNING, 1)
    await directory.configure(emptyPages=0)
    clock.jump(minutes=6)
    await engine.resume(record.id, seconds=30)
    assert outcome(await engine.log.all_rows(record.id)) == [("paged@contoso.com", "verified", None)]
    assert await directory.served() == [held]


async def test_the_next_worker_knows_what_each_row_stands_for(engine: Engine, directory: Directory) -> None:
    """A mail address that was not found and the same text as a user principal name are two names to it as well."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    await directory.post("tokens/forget", {})
    record, rows = await carried_out(engine, mail("adele@contoso.com"), sid(ON_PREMISES), "adele@contoso.com")
    assert [row.status.value for row in rows] == ["failed", "failed", "revoked"]
    assert [name async for name in engine.log.iter_identities(record.id, to=3)] == [row.identity for row in rows]
    assert len({row.identity for row in rows}) == 3


@pytest.mark.parametrize("seconds", [20, None], ids=["in its call", "from the queue"])
async def test_such_users_come_through_the_door_like_others(
    engine: Engine, directory: Directory, seconds: int | None
) -> None:
    """A request that names them is accepted, stored, read back and carried out, within its call or after it."""
    (held,) = await directory.people(1, "door", mail="door@contoso.com")
    names = [mail("door@contoso.com"), "Door0@contoso.com", unresolved("CONTOSO\\x", "no name")]
    door = Submission(
        request=RevocationRequest(users=NamedUsers(names)), source="http", requested_by=RequestedBy(kind="local")
    )
    within = timedelta(seconds=seconds) if seconds else None
    submitted = await submitter(engine).submit(door, within=within)
    record = submitted.record if seconds else await engine.resume(submitted.record.id)
    assert (record.status, record.counts.duplicates) == (RequestStatus.PARTIALLY_SUCCEEDED, 1)
    rows = await engine.log.all_rows(record.id)
    assert outcome(rows) == [("door@contoso.com", "verified", None), ("CONTOSO\\x", "failed", "unresolvedEntity")]
    assert await directory.served() == [held]


async def test_a_small_request_is_carried_out_in_its_call(engine: Engine, directory: Directory) -> None:
    """As a door submits it: three calls to Graph for one name, and the rows come back with it."""
    (held,) = await directory.people(1, "call", mail="call@contoso.com")
    request = RevocationRequest(users=NamedUsers([mail("call@contoso.com"), unresolved("CONTOSO\\x", "no name")]))
    door = Submission(request=request, source="http", requested_by=RequestedBy(kind="local"))
    submitted = await submitter(engine).submit(door, within=timedelta(seconds=20))
    assert submitted.record.status is RequestStatus.PARTIALLY_SUCCEEDED
    assert outcome(submitted.users or []) == [
        ("call@contoso.com", "verified", None),
        ("CONTOSO\\x", "failed", "unresolvedEntity"),
    ]
    assert await directory.served() == [held]
    assert sum((await directory.calls()).values()) == 3


async def test_a_page_of_such_names_is_looked_up_in_batches(engine: Engine, directory: Directory) -> None:
    """One look-up for a mail address and two for a SID, twenty to a call."""
    people = await directory.people(30, "batched")
    names = [mail(f"batched{number}@contoso.com") for number in range(30)]
    names += [sid(security_identifier(user) or "") for user in people[:15]]
    _, rows = await carried_out(engine, *names, dry_run=True)
    assert [row.status for row in rows] == [UserStatus.PLANNED] * 30
    assert await directory.calls() == {"/users": 60, "/$batch": 3}
