"""Protection never fails in silence: what was read once counts on, what matches nobody is said aloud."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import new_record
from steps import controls, submitter

from revoke_core.domain.errors import ProtectionUnavailable
from revoke_core.domain.identifiers import parse_user
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus
from revoke_core.domain.user_state import Counts, UserStatus
from revoke_core.service.engine.protection import ProtectedListUnreadable
from revoke_core.service.intake.submit import Submission

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory
    from steps import JumpingClock

GROUP = "8f5d1c2e-0000-4000-8000-0000000000cc"


async def accepted(engine: Engine, **request: Any) -> RequestRecord:
    """A request that is durable and was never begun."""
    record = new_record(datetime.now(UTC), counts=Counts(), dry_run=request.get("dry_run", False))
    await engine.log.create_request(record, RevocationRequest(**request))
    return record


async def carried_out(engine: Engine, **request: Any) -> RequestRecord:
    """The same once a worker has done what it can."""
    return await engine.resume((await accepted(engine, **request)).id)


async def statuses(engine: Engine, record: RequestRecord) -> list[UserStatus]:
    return [row.status for row in await engine.log.all_rows(record.id)]


async def test_a_renamed_account_stays_protected(engine: Engine, directory: Directory) -> None:
    """Its entry names the old UPN; the object id that it stood for is kept, for this host and the next."""
    (boss,) = await directory.people(1, "boss")
    engine.protect("boss0@contoso.com")
    await engine.protected.keys()
    await directory.post("users", {"id": boss, "userPrincipalName": "chief@contoso.com"})
    engine.protect("boss0@contoso.com")
    found = await engine.protected.look()
    assert boss in found.keys
    assert found.unmatched == ()
    record = await carried_out(engine, users=NamedUsers(["chief@contoso.com"]))
    assert await statuses(engine, record) == [UserStatus.SKIPPED]
    assert await directory.served() == []


@pytest.mark.parametrize(
    "known", [{"mail": "the.boss@contoso.com"}, {"proxyAddresses": ["SMTP:x@contoso.com", "smtp:the.boss@contoso.com"]}]
)
async def test_a_mail_address_protects_the_one_user_who_has_it(
    engine: Engine, directory: Directory, known: dict[str, Any]
) -> None:
    """It is no UPN; the app finds whose it is."""
    (boss,) = await directory.people(1, "mailed", **known)
    engine.protect("the.boss@contoso.com")
    assert (await carried_out(engine, users=NamedUsers([boss]))).counts.skipped == 1
    assert await directory.served() == []


async def test_a_mail_address_that_two_users_have_protects_nobody_and_is_named(
    engine: Engine, directory: Directory
) -> None:
    """Which of them is meant cannot be told, and that is said."""
    await directory.people(2, "shared", mail="team@contoso.com")
    engine.protect("team@contoso.com")
    assert (await engine.protected.look()).unmatched == ("team@contoso.com",)


async def test_an_entry_that_matches_nobody_is_named_in_every_request(engine: Engine, directory: Directory) -> None:
    """A typing error protects nobody: a named list runs on, and its warnings say so."""
    (user,) = await directory.people(1, "typo")
    engine.protect("breakglas@contoso.com")
    record = await carried_out(engine, users=NamedUsers([user]))
    assert await statuses(engine, record) == [UserStatus.VERIFIED]
    assert any("breakglas@contoso.com" in warning for warning in record.warnings)


@pytest.mark.parametrize("where", ["protected", "excluded"])
async def test_an_entry_that_matches_nobody_holds_whoever_is_found(
    engine: Engine, directory: Directory, where: str
) -> None:
    """The account that was to be left alone may be among them: a person looks first, whatever was expected."""
    members = await directory.people(2, f"held{where}")
    group = await directory.group(f"Held {where}", members)
    exclude: dict[str, Any] = {}
    if where == "protected":
        engine.protect("breakglas@contoso.com")
    else:
        exclude = {"exclude": tuple(NamedUsers(["breakglas@contoso.com"]))}
    record = await carried_out(engine, groups=(group,), expected_users=5, **exclude)
    assert record.status is RequestStatus.HELD
    assert any("breakglas@contoso.com" in warning for warning in record.warnings)
    assert await directory.served() == []
    await controls(engine).confirm(record, 2)
    ended = await engine.resume(record.id)
    assert ended.status is RequestStatus.SUCCEEDED


async def test_a_dry_run_names_exclusions_that_match_nobody(engine: Engine, directory: Directory) -> None:
    """It is there to find such things, and is never held."""
    group = await directory.group("Dry", await directory.people(2, "dry"))
    record = await carried_out(
        engine, groups=(group,), dry_run=True, exclude=tuple(NamedUsers(["nobody.here@contoso.com"]))
    )
    assert record.status is RequestStatus.PLANNED
    assert any("nobody.here@contoso.com" in warning for warning in record.warnings)


async def test_an_excluded_mail_address_excludes_its_user_and_a_name_outside_is_no_fault(
    engine: Engine, directory: Directory
) -> None:
    """Whom the directory knows is no mistake, in the group or not."""
    kept, other = await directory.people(2, "mailbox", mail=None)
    await directory.post("users", {"id": kept, "userPrincipalName": "mailbox0@contoso.com", "mail": "kept@contoso.com"})
    group = await directory.group("Mailbox", [kept, other])
    exclude = tuple(NamedUsers(["kept@contoso.com", "adele@contoso.com"]))
    record = await carried_out(engine, groups=(group,), exclude=exclude)
    assert (record.status, record.warnings) == (RequestStatus.SUCCEEDED, ())
    assert await directory.served() == [other]


async def test_exclusions_that_cannot_be_looked_up_are_waited_for(engine: Engine, directory: Directory) -> None:
    """Nobody is sent before it is known whom they mean."""
    (user,) = await directory.people(1, "waits")
    await directory.fault("mailbox.of.someone", times=1, status=503)
    record = await accepted(
        engine, users=NamedUsers([user]), exclude=tuple(NamedUsers(["mailbox.of.someone@contoso.com"]))
    )
    assert (await engine.resume(record.id, max_idle=0)).status is RequestStatus.RUNNING
    assert await directory.served() == []
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED


@pytest.mark.parametrize("how", ["unreadable", "empty", "hidden", "nested"])
async def test_the_last_list_counts_for_seven_days(
    still: tuple[Engine, JumpingClock], directory: Directory, how: str
) -> None:
    """A group that was emptied, hidden or cannot be read: refusing everybody for a week would be worse."""
    engine, clock = still
    boss, secret = await directory.people(2, f"kept{how}")
    await directory.group("Kept", [boss], id=GROUP)
    engine.protect(group=GROUP)
    assert (await engine.protected.look()).kept is None
    if how == "unreadable":
        await directory.fault(f"^/groups/{GROUP}", times=None, status=503)
    elif how == "nested":
        inner = await directory.group("Inner", [secret], visibility="HiddenMembership")
        await directory.group("Kept", [boss, inner], id=GROUP)
    else:
        more = {"visibility": "HiddenMembership"} if how == "hidden" else {}
        await directory.group("Kept", [boss] if how == "hidden" else [], id=GROUP, **more)
    clock.jump(days=6)
    engine.protect(group=GROUP)
    found = await engine.protected.current()
    assert boss in found.keys
    (warning,) = found.warnings
    assert GROUP in warning
    clock.jump(days=1, hours=1)
    engine.protect(group=GROUP)
    with pytest.raises(ProtectedListUnreadable, match=GROUP):
        await engine.protected.current()


@pytest.mark.parametrize("how", ["empty", "nested"])
async def test_without_an_earlier_list_the_door_is_closed_and_says_what_is_unreadable(
    engine: Engine, directory: Directory, how: str
) -> None:
    """A green light over a list that protects nobody is the worst of all."""
    boss, secret = await directory.people(2, f"closed{how}")
    inner = await directory.group("Inner", [secret], visibility="HiddenMembership")
    await directory.group("Kept", [boss, inner] if how == "nested" else [], id=GROUP)
    engine.protect(group=GROUP)
    submission = Submission(
        request=RevocationRequest(users=NamedUsers([secret])), source="http", requested_by=RequestedBy(kind="local")
    )
    with pytest.raises(ProtectionUnavailable, match=GROUP):
        await submitter(engine).submit(submission, within=timedelta(seconds=5))
    assert await directory.served() == []


async def test_an_entry_that_was_never_resolved_closes_the_door_while_it_cannot_be(
    engine: Engine, directory: Directory
) -> None:
    """Whom it means is unknown; an object id needs no look-up, and what was resolved once is known."""
    boss = parse_user("adele@contoso.com")
    assert boss
    await directory.fault("^/users/adele", times=None, status=503)
    engine.protect("adele@contoso.com")
    with pytest.raises(ProtectedListUnreadable, match=r"adele@contoso\.com"):
        await engine.protected.current()
    await directory.well_again()
    (identity,) = [key for key in (await engine.protected.current()).keys if "@" not in key]
    await directory.fault("^/users/", times=None, status=503)
    engine.protect("adele@contoso.com", identity)
    assert (await engine.protected.current()).keys == {"adele@contoso.com", identity}


async def test_a_strict_operator_closes_the_door_for_a_typing_error(engine: Engine, directory: Directory) -> None:
    """PROTECTION_STRICT: nobody at all is sent until the entry is corrected."""
    (user,) = await directory.people(1, "strict")
    engine.protect("breakglas@contoso.com", strict=True)
    with pytest.raises(ProtectedListUnreadable, match=r"breakglas@contoso\.com.*PROTECTION_STRICT"):
        await engine.protected.current()
    record = await accepted(engine, users=NamedUsers([user]))
    assert (await engine.resume(record.id, max_idle=0)).status is RequestStatus.RUNNING
    assert await directory.served() == []


async def test_a_repeated_key_is_answered_while_the_list_is_unreadable(engine: Engine, directory: Directory) -> None:
    """Its request was accepted, and may be finished, long ago: a 503 would deny it."""
    (user,) = await directory.people(1, "replayed")
    asked: dict[str, Any] = {"source": "http", "requested_by": RequestedBy(kind="local"), "idempotency_key": user}
    submission = Submission(request=RevocationRequest(users=NamedUsers([user])), **asked)
    first = await submitter(engine).submit(submission, within=timedelta(seconds=20))
    engine.protect(group=GROUP)
    again = await submitter(engine).submit(submission, within=timedelta(seconds=20))
    assert (again.record.id, again.record.status) == (first.record.id, RequestStatus.SUCCEEDED)
    other = Submission(request=RevocationRequest(users=NamedUsers([user])), **asked | {"idempotency_key": "other"})
    with pytest.raises(ProtectionUnavailable):
        await submitter(engine).submit(other, within=timedelta(seconds=20))
