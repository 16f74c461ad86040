from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import counted, new_record, stored_run
from steps import NAMES, ago, begun, context, person

from local.simulator.directory import object_id
from revoke_core.domain import problems
from revoke_core.domain.errors import LeaseLost
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import Counts, UserStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.run import Run


@pytest.mark.parametrize("users", [1, 20])
async def test_a_call_that_never_reached_graph_is_made_again_after_two_minutes_of_reading(
    engine: Engine, directory: Directory, users: int
) -> None:
    """Not a moment earlier, for it may still be under way; then once, by itself or as a batch."""
    path = "revokeSignInSessions" if users == 1 else "batch"
    match = {"path": path, "method": "POST"} | ({"scope": "envelope"} if users > 1 else {})
    # The first batch looks the users up.
    await directory.post("faults", {"match": match, "after": int(users > 1), "action": {"drop": "before"}})
    record = new_record(datetime.now(UTC), counts=Counts(total=users, pending=users))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:users])))
    await engine.resume(record.id, seconds=7, max_idle=5)
    assert await directory.served() == []

    run = await stored_run(engine.log, record.id)
    rows = await engine.log.all_rows(record.id)
    assert {(row.status, row.attempts, row.sent_at is None) for row in rows} == {(UserStatus.PENDING, 1, False)}
    # As though it had been sent 118 s ago: the last read is still to come.
    nearly = [replace(row, sent_at=ago(seconds=118)) for row in rows]
    await engine.log.save_run(replace(run, due_at=None), nearly)
    began = datetime.now(UTC)
    final = await engine.resume(record.id)
    assert (final.status, final.counts.verified) == (RequestStatus.SUCCEEDED, users)
    assert {row.attempts for row in await engine.log.all_rows(record.id)} == {2}
    assert sorted(await directory.served()) == sorted(object_id(name) for name in NAMES[:users])
    sent_at = {row.sent_at for row in await engine.log.all_rows(record.id)}
    assert min(moment for moment in sent_at if moment) > began + timedelta(seconds=1)


async def test_a_lost_answer_is_followed_by_one_more_call_at_most_where_nobody_can_be_read(
    engine: Engine, directory: Directory
) -> None:
    """Each may have signed the user out, so that after the second one nobody knows, and it says so."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All"])
    fault = {"match": {"path": "revokeSignInSessions"}, "times": 3, "action": {"drop": "after"}}
    await directory.post("faults", fault)
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    assert (await engine.resume(record.id)).status is RequestStatus.FAILED
    (row,) = await engine.log.all_rows(record.id)
    assert (row.problem, row.attempts) == (problems.OUTCOME_UNKNOWN, 2)
    assert len(await directory.served()) == 2


async def test_what_stops_a_request_is_told_to_everybody_who_was_not_sent(engine: Engine) -> None:
    """And to nobody else."""
    rows = [person(1), person(2, status=UserStatus.VERIFIED), person(3)]
    record, _ = await begun(engine, rows, abort_reason=problems.IDEMPOTENCY_CONFLICT)
    final = await engine.resume(record.id)
    after = await engine.log.all_rows(record.id)
    assert [row.problem.code if row.problem else None for row in after] == [
        "idempotencyConflict",
        None,
        "idempotencyConflict",
    ]
    assert (final.status, final.counts) == (RequestStatus.PARTIALLY_SUCCEEDED, counted(after))


@pytest.mark.parametrize(("age", "word"), [(0, UserStatus.VERIFIED), (40, UserStatus.FAILED)])
async def test_whom_graph_does_not_know_any_more_is_read_again_for_half_a_minute(
    engine: Engine, directory: Directory, age: float, word: UserStatus
) -> None:
    """A replica that lags behind does not undo what Graph has accepted; a user who stays away is not proven."""
    row = person(1, status=UserStatus.REVOKED, sent_at=ago(seconds=age), revoked_at=ago(seconds=age), attempts=1)
    record, _ = await begun(engine, [row])
    await directory.fault(f"^/users/{row.user_id}", times=2, status=404)
    await directory.move_cut_off(row.user_id or "")
    await engine.resume(record.id)
    (found,) = await engine.log.all_rows(record.id)
    assert (found.status, found.problem) == (word, problems.UNVERIFIED if word is UserStatus.FAILED else None)


async def test_a_403_is_judged_by_the_token_that_met_it(engine: Engine, directory: Directory) -> None:
    """The first token was refused as such, and the next one lacks the permission: that is what the users are told."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All", "User.Read.All"])
    record, _ = await begun(engine, [person(place) for place in range(1, 4)])

    async def take_away(run: Run) -> None:
        if run.intents:
            engine.log.before_save = None
            await directory.configure(grantedRoles=["User.Read.All"])
            await directory.post("tokens/forget", {})

    engine.log.before_save = take_away
    await engine.resume(record.id)
    rows = await engine.log.all_rows(record.id)
    assert {row.problem.code for row in rows if row.problem} == {"appPermissionMissing"}


async def test_a_request_that_another_worker_ended_meanwhile_is_not_begun_again(
    engine: Engine, directory: Directory
) -> None:
    """A message that was delivered twice, and one of its workers stood still from before the other's first write."""
    record = new_record(datetime.now(UTC), counts=Counts(total=20, pending=20))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES)))
    finals = []

    async def overtake(_: Run) -> None:
        engine.log.before_save = None
        finals.append(await engine.resume(record.id))

    engine.log.before_save = overtake
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert [final.counts.verified for final in finals] == [20]
    assert len(await directory.served()) == 20


async def test_the_last_word_is_not_taken_back(engine: Engine) -> None:
    """A worker that stood still may still believe the request to run."""
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    final = replace(record, status=RequestStatus.SUCCEEDED, counts=Counts(total=1, verified=1))
    await engine.log.update_request(replace(record, status=RequestStatus.RUNNING))
    await engine.log.update_request(final)
    await engine.log.update_request(replace(record, status=RequestStatus.HELD))
    stored = await engine.log.get_request(record.id)
    assert stored
    assert (stored.status, stored.counts) == (RequestStatus.SUCCEEDED, final.counts)


async def test_a_last_word_that_comes_between_a_look_and_a_write_is_not_taken_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When that worker looked, the request still ran."""
    record = new_record(datetime.now(UTC), counts=Counts(total=1, pending=1))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    final = replace(record, status=RequestStatus.SUCCEEDED, counts=Counts(total=1, verified=1))
    row = engine.log._requests.get

    async def overtaken(*key: str, select: list[str] | None) -> Any:
        found = await row(*key, select=select)
        monkeypatch.setattr(engine.log._requests, "get", row)
        await engine.log.update_request(final)
        return found

    monkeypatch.setattr(engine.log._requests, "get", overtaken)
    await engine.log.update_request(replace(record, status=RequestStatus.RUNNING))
    stored = await engine.log.get_request(record.id)
    assert stored
    assert (stored.status, stored.counts) == (RequestStatus.SUCCEEDED, final.counts)


async def test_a_worker_that_stood_still_says_no_last_word_after_another(engine: Engine) -> None:
    """Whatever it would say, and be it the same: the request ended when the first one said so."""
    record, run = await begun(engine, [person(1, status=UserStatus.VERIFIED)])
    await engine.resume(record.id)
    ended = await engine.log.get_request(record.id)
    put_down = engine.finalizer()
    with pytest.raises(LeaseLost):
        await put_down.finish(context(engine, record, run))
    assert await engine.log.get_request(record.id) == ended


async def test_users_whom_a_dead_worker_did_not_enter_by_user_are_entered(engine: Engine) -> None:
    """Else nobody would find that they were revoked."""
    rows = [person(1, status=UserStatus.VERIFIED), person(2, status=UserStatus.VERIFIED)]
    record, _ = await begun(engine, rows, indexed_to=1)
    await engine.resume(record.id)
    found = await engine.index.find(UserRef(given="", text=rows[1].user_id or "", is_id=True), size=20, token=None)
    assert (record.id, 2) in found.items
