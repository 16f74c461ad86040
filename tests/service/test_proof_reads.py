"""What the reads of one slice cost in storage, and whom they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import fresh_hand, users
from steps import NAMES, ago, begun, person

from revoke_core.domain.results import Counts, Doubt, UserStatus
from revoke_core.domain.run import Flight
from revoke_core.domain.verdicts import unread
from revoke_core.service.backlog import Backlog
from revoke_core.service.proof_reads import ProofReads
from revoke_core.service.proving import Prover
from revoke_core.service.run_in_hand import RunInHand
from revoke_core.service.tasks import Tasks
from revoke_core.service.waiting import Pauses

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory


async def test_a_proof_that_lingers_is_not_looked_for_in_storage(engine: Engine) -> None:
    """While several calls are on their way, the mark of one writes that another's users are not proven yet.

    Their proof comes a moment later, and goes along with the next mark.
    """
    hand = fresh_hand(engine.log, engine.clock)
    backlog = Backlog(request_id=hand.run.request_id, log=engine.log, commit=hand.flush)
    pauses = Pauses(run=hand.run, gates=engine.gates, clock=engine.clock)
    prover = Prover(graph=engine.gated)
    proofs = ProofReads(hand=hand, backlog=backlog, pauses=pauses, prover=prover, clock=engine.clock, tasks=Tasks())
    first, second = page = users(1, 2)
    flights = [Flight(positions=(row.position,), sent_at=engine.clock.now()) for row in page]
    await hand.add_page(page, positions=2, planned=True, proving=True)
    await hand.take_off(flights[0])
    revoked = first.ended(UserStatus.REVOKED)
    await hand.land(flights[0], [(first, revoked)])
    await hand.take_off(flights[1])
    assert hand.run.counts == Counts(total=2, pending=1, revoked=1)
    await hand.note([(revoked, revoked.ended(UserStatus.VERIFIED))])
    saves, pages = len(engine.log.saves), list[UserStatus]()

    async def noted(status: UserStatus) -> None:
        pages.append(status)

    engine.log.after_page = noted
    assert await proofs.start() is None
    assert (len(engine.log.saves), pages) == (saves, [])
    await hand.land(flights[1], [(second, second.ended(UserStatus.REVOKED))])
    await proofs.start()
    assert pages == [UserStatus.REVOKED]


async def test_a_read_says_nothing_of_whom_another_one_gave_up(engine: Engine, directory: Directory) -> None:
    """One of two learns that the app may read nobody any more: who is to be sent again has no second outcome."""
    record, run = await begun(engine, [person(1, sent_at=ago(seconds=2), attempts=1, doubt=Doubt.LOST)])
    hand = RunInHand(run=run, log=engine.log, clock=engine.clock)
    backlog = Backlog(request_id=record.id, log=engine.log, commit=hand.flush)
    await backlog.load(1)
    await directory.move_cut_off(NAMES[0])

    def give_up() -> None:
        for row in backlog.give_up_reading():
            backlog.landed(unread(row), proving=False)

    engine.graph.before_read = give_up
    pauses = Pauses(run=run, gates=engine.gates, clock=engine.clock)
    due = backlog.due(engine.clock.now(), 20)
    await Prover(graph=engine.gated).prove(hand, backlog, pauses, due)
    await hand.flush()
    (stored,) = await engine.log.all_rows(record.id)
    assert engine.graph.read == {due[0].user_id}
    assert (stored.status, backlog.unsent) == (UserStatus.PENDING, 1)
