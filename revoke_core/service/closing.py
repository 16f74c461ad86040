"""Giving everybody who is still open one last word: cancelled, refused, stopped, too old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from revoke_core.domain import problems
from revoke_core.domain.results import Problem, UserRow, UserStatus
from revoke_core.domain.schedules import HELD_LIFETIME
from revoke_core.service.run_in_hand import ROWS_PER_COMMIT
from revoke_core.service.waiting import TRANSIENT

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.run import Run
    from revoke_core.ports import StatusLog
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.run_in_hand import RunInHand


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The last word that everybody gets who is still open.

    Those in doubt get theirs by being read. Once the request is too old they are not read any more: then
    ``unsettled`` is theirs, for nobody may say of them that they were not sent.
    """

    status: UserStatus
    problem: Problem
    unsettled: Problem | None = None

    @property
    def too_old(self) -> bool:
        """Whether nobody is waited for any more."""
        return self.unsettled is not None


def due_ending(run: Run, now: datetime, *, too_old_from: datetime, stopped: Problem | None) -> Ending | None:
    """The last word for all who are still open, if there is one: refused, cancelled, stopped, too old."""
    last = TRANSIENT.get(run.cause or "", problems.EXPIRED) if now >= too_old_from else None
    if run.refusal:
        return Ending(status=UserStatus.FAILED, problem=run.refusal, unsettled=last)
    if run.cancel_requested:
        return Ending(status=UserStatus.SKIPPED, problem=problems.CANCELLED, unsettled=last)
    if stopped:
        return Ending(status=UserStatus.FAILED, problem=stopped, unsettled=last)
    if run.is_held and run.held_at:
        is_over = now >= run.held_at + HELD_LIFETIME
        return Ending(status=UserStatus.SKIPPED, problem=problems.CANCELLED) if is_over else None
    return Ending(status=UserStatus.FAILED, problem=last, unsettled=last) if last else None


async def close_open(hand: RunInHand, backlog: Backlog, log: StatusLog, ending: Ending) -> None:
    """End every user who was not sent; whoever is in doubt or not proven yet is left to be read, unless time is up."""
    await hand.flush()
    await _close(hand, backlog, log, ending, UserStatus.PENDING)
    if ending.too_old and hand.run.proving:
        await _close(hand, backlog, log, ending, UserStatus.REVOKED)


async def _close(hand: RunInHand, backlog: Backlog, log: StatusLog, ending: Ending, status: UserStatus) -> None:
    after, complete = 0, False
    while not complete:
        rows, complete = await log.waiting_rows(hand.run.request_id, status, after=after, limit=ROWS_PER_COMMIT)
        after = rows[-1].position if rows else after
        pairs = [(row, _ended(row, ending)) for row in rows if ending.too_old or not _in_doubt(row, backlog)]
        if pairs:
            cancelled = sum(after.problem is problems.CANCELLED for _, after in pairs)
            await hand.write(pairs, cancelled=hand.run.cancelled + cancelled)
        for _, row in pairs:
            backlog.landed(row, proving=False)


def _in_doubt(row: UserRow, backlog: Backlog) -> bool:
    return row.sent_at is not None or backlog.is_in_doubt(row.position)


def _ended(row: UserRow, ending: Ending) -> UserRow:
    if row.status is UserStatus.REVOKED:
        return row.ended(UserStatus.FAILED, problems.UNVERIFIED)
    if ending.unsettled and row.sent_at:
        return row.ended(UserStatus.FAILED, ending.unsettled)
    return row.ended(ending.status, ending.problem)
