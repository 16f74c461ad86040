"""What the calls of one slice ask of the row that all instances share."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import stored_run
from steps import NAMES, begun, context, person
from storage_log import StorageLog, storage_log

from local.simulator.directory import object_id
from revoke_core.adapters.pacing.row import PARTITION, ROW
from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.domain import problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.lanes import Lane
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import UserRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Engine
    from listing import Directory
    from steps import JumpingClock

    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.domain.run import Run


@pytest.fixture
def board() -> Iterator[StorageLog]:
    """The requests for the shared row."""
    with storage_log(f"PartitionKey='{PARTITION}'") as log:
        yield log


async def test_a_call_that_takes_a_block_needs_no_look(
    still: tuple[Engine, JumpingClock], directory: Directory, board: StorageLog
) -> None:
    """Its write tells of the gates."""
    engine, clock = still
    await engine.budget.take(60, lane=Lane.LARGE)
    record, _ = await begun(engine, [person(1)])
    clock.jump(seconds=11)
    board.forget()
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 1
    assert board.methods[0] == "PUT"


async def test_a_request_that_has_to_wait_itself_takes_no_block(engine: Engine, board: StorageLog) -> None:
    """Before its pause is over the block would be forgotten, and the next one taken: others could use them."""
    await engine.budget.take(60, lane=Lane.LARGE)
    record, run = await begun(engine, [person(1)])
    board.forget()
    one = context(engine, record, run)
    one.backoff.blocked("write", problems.GRAPH_UNAVAILABLE)
    assert await engine.sender().start(one) is not None
    assert "PUT" not in board.methods


async def test_a_gate_that_closes_while_a_call_is_announced_keeps_it_back(
    still: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Another call was told to wait meanwhile: this one takes its mark back, and nobody of it is in doubt."""
    engine, _ = still
    record, _ = await begun(engine, [person(1)])

    async def close(run: Run) -> None:
        if run.intents:
            engine.log.before_save = None
            await engine.gates.close_for("write", timedelta(minutes=1))

    engine.log.before_save = close
    assert (await engine.resume(record.id, max_idle=1)).status is RequestStatus.RUNNING
    assert await directory.served() == []
    assert (await stored_run(engine.log, record.id)).intents == ()
    (row,) = await engine.log.all_rows(record.id)
    assert (row.sent_at, row.attempts) == (None, 0)


async def test_a_refused_write_closes_the_gate_before_storage_hears_of_its_call(
    still: tuple[Engine, JumpingClock], directory: Directory, monkeypatch: pytest.MonkeyPatch, board: StorageLog
) -> None:
    """Storage may be slow; another request's call must not leave in that time. Closing takes one write."""
    engine, _ = still
    first, _ = await begun(engine, [person(1), person(2)])
    second, _ = await begun(engine, [replace(person(3), position=1)])
    match = {"userId": object_id(NAMES[1]), "path": "revokeSignInSessions", "scope": "item"}
    await directory.post("faults", {"match": match, "action": {"status": 429, "headers": {"Retry-After": "60"}}})
    note = engine.tokens.note_revoked

    async def slow(fingerprint: str) -> None:
        monkeypatch.setattr(engine.tokens, "note_revoked", note)
        await engine.resume(second.id, max_idle=1)
        await note(fingerprint)

    monkeypatch.setattr(engine.tokens, "note_revoked", slow)
    await engine.budget.take(1, lane=Lane.SMALL)
    # As many as make a refusal say something about the quota.
    engine.budget.was_sent(500)
    board.forget()
    assert (await engine.resume(first.id, max_idle=1)).status is RequestStatus.RUNNING
    assert await directory.served() == [object_id(name) for name in NAMES[:2]]
    # The gate's end, and what the refusal teaches.
    assert board.methods.count("PUT") == 2


async def test_a_request_that_waits_for_a_gate_is_not_called_paused(still: tuple[Engine, JumpingClock]) -> None:
    """The operator has turned the pause off: nobody has to be asked any more."""
    engine, _ = still
    record, _ = await begun(engine, [person(1)], blocked_by=problems.PAUSED.code, failures=2)
    await engine.gates.close_for("write", timedelta(minutes=1))
    assert (await engine.resume(record.id, max_idle=1)).warnings == ()
    run = await stored_run(engine.log, record.id)
    assert (run.blocked_by, run.failures) == (None, 2)


async def test_a_call_for_want_of_a_token_takes_its_mark_back(
    still: tuple[Engine, JumpingClock], directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token ended while it was announced: nobody of it is in doubt."""
    engine, _ = still
    record, _ = await begun(engine, [person(1)])
    token = engine.graph.token

    async def ended() -> TokenFacts:
        if (await stored_run(engine.log, record.id)).intents:
            raise TokenUnavailable("It was taken away by the test.")
        return await token()

    monkeypatch.setattr(engine.graph, "token", ended)
    assert (await engine.resume(record.id, max_idle=0)).status is RequestStatus.RUNNING
    assert await directory.served() == []
    run = await stored_run(engine.log, record.id)
    assert (run.intents, run.blocked_by) == ((), problems.NO_TOKEN.code)


@pytest.mark.parametrize(("number", "sent"), [(20, 20), (21, 0)])
async def test_what_is_kept_for_small_requests_goes_to_them_alone(
    still: tuple[Engine, JumpingClock], directory: Directory, number: int, sent: int
) -> None:
    """Behind a large request a small one leaves at once, whichever worker carries it out."""
    engine, clock = still
    at = clock.now().isoformat()
    kept = {"Tokens": 50.0, "Share": 0.05, "At": at, "QuietUntil": at, "Assumed": False}
    keys = {"PartitionKey": PARTITION, "RowKey": ROW}
    await engine.storage.table(STATE_TABLE).upsert_entity(keys | kept)
    last = UserRow(position=21, given="team21@contoso.com", user_id=object_id("team21@contoso.com"))
    rows = [*(person(place) for place in range(1, 21)), last][:number]
    record, _ = await begun(engine, rows)
    await engine.resume(record.id, max_idle=1)
    assert len(await directory.served()) == sent


@pytest.mark.parametrize(
    ("role", "is_blind"), [("User.RevokeSessions.All", True), ("User.ReadWrite.All", False)], ids=["blind", "readable"]
)
async def test_one_call_at_a_time_where_a_crash_would_send_it_twice(
    still: tuple[Engine, JumpingClock], directory: Directory, role: str, *, is_blind: bool
) -> None:
    """Whoever is on the way when a host dies is sent again where nobody can be read: at most one call's users."""
    engine, _ = still
    await directory.configure(grantedRoles=[role], latencyMs=100)
    names = await directory.people(98, "many")
    rows = [UserRow(position=place, given=name, user_id=name) for place, name in enumerate(names, start=1)]
    record, _ = await begun(engine, rows, verifying=not is_blind, readable=not is_blind)
    assert (await engine.resume(record.id, seconds=60)).status is RequestStatus.SUCCEEDED
    assert (max(len(saved.run.intents) for saved in engine.log.saves) == 1) is is_blind
