"""What the reads of one slice cost in storage, and whom they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import new_record, new_unit, users
from steps import NAMES, ago, begun, context, person

from revoke_core.domain.responses import Ambiguity
from revoke_core.domain.run import SendIntent
from revoke_core.domain.user_state import Counts, UserStatus, resolve_without_read

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory


async def test_a_proof_that_lingers_is_not_looked_for_in_storage(engine: Engine) -> None:
    """While several calls are on their way, the mark of one writes that another's users are not proven yet.

    Their proof comes a moment later, and goes along with the next mark.
    """
    one = context(engine, new_record(engine.clock.now()), new_unit(engine.log, engine.clock).run)
    unit, verifier = one.unit, engine.verifier()
    first, second = page = users(1, 2)
    intents = [SendIntent(positions=(row.position,), sent_at=engine.clock.now()) for row in page]
    await unit.insert_rows(page, positions=2, planned=True, verifying=True)
    await unit.record_intent(intents[0])
    revoked = first.ended(UserStatus.REVOKED)
    unit.record_outcome(intents[0], [(first, revoked)])
    await unit.record_intent(intents[1])
    assert unit.run.counts == Counts(total=2, pending=1, revoked=1)
    unit.enqueue([(revoked, revoked.ended(UserStatus.VERIFIED))])
    saves, pages = len(engine.log.saves), list[UserStatus]()

    async def noted(status: UserStatus) -> None:
        pages.append(status)

    engine.log.after_page = noted
    assert await verifier.start(one) is None
    assert (len(engine.log.saves), pages) == (saves, [])
    unit.record_outcome(intents[1], [(second, second.ended(UserStatus.REVOKED))])
    await verifier.start(one)
    assert pages == [UserStatus.REVOKED]


async def test_a_read_says_nothing_of_whom_another_one_gave_up(engine: Engine, directory: Directory) -> None:
    """One of two learns that the app may read nobody any more: who is to be sent again has no second outcome."""
    record, run = await begun(engine, [person(1, sent_at=ago(seconds=2), attempts=1, ambiguity=Ambiguity.LOST)])
    one = context(engine, record, run)
    working_set = one.users
    await working_set.load(1)
    await directory.move_cut_off(NAMES[0])

    def give_up() -> None:
        for row in working_set.stop_reading():
            working_set.update(resolve_without_read(row), verifying=False)

    engine.graph.before_read = give_up
    due = working_set.take_due_reads(engine.clock.now(), 20)
    await engine.verifier().read(one, due)
    await one.unit.flush()
    (stored,) = await engine.log.all_rows(record.id)
    assert engine.graph.read == {due[0].user_id}
    assert (stored.status, working_set.unsent) == (UserStatus.PENDING, 1)
