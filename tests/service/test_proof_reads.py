"""What the reads of one slice cost in storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import fresh_hand, users

from revoke_core.domain.results import Counts, UserStatus
from revoke_core.domain.run import Flight
from revoke_core.service.backlog import Backlog
from revoke_core.service.proof_reads import ProofReads
from revoke_core.service.proving import Prover
from revoke_core.service.tasks import Tasks
from revoke_core.service.waiting import Pauses

if TYPE_CHECKING:
    from engine import Engine


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
