"""Giving everybody who is still open one last word: cancelled, refused, stopped, too old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain import problems
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.service.run_in_hand import ROWS_PER_COMMIT

if TYPE_CHECKING:
    from revoke_core.ports import StatusLog
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.plan_pages import Ending
    from revoke_core.service.run_in_hand import RunInHand


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
