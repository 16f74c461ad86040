"""Reading cut-offs: proof for users whom Graph said it revoked, settlement for calls whose answer never came."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Final

from revoke_core.domain import problems
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.moments import parsed_or_none
from revoke_core.domain.permissions import READ_USERS
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.domain.schedules import has_moved, next_read, settles
from revoke_core.domain.verdicts import Answer, Effect, Verdict, of_read, unread
from revoke_core.service.planning import UNPROVEN_BY_PERMISSION
from revoke_core.service.run_in_hand import ROWS_PER_COMMIT
from revoke_core.service.targets import target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.graph_port import Graph
    from revoke_core.service.backlog import Backlog
    from revoke_core.service.run_in_hand import RunInHand
    from revoke_core.service.waiting import Pauses

# Graph knew the user when it took the call. That it does not any more may be a replica that lags behind, or true.
_GONE_AFTER: Final = timedelta(seconds=30)


class Prover:
    """One round of reads for users that are due."""

    def __init__(self, *, graph: Graph) -> None:
        self._graph = graph

    def time(self) -> datetime:
        """Now by Graph's clock, which cut-offs are written in."""
        return self._graph.time()

    @property
    def has_told_the_time(self) -> bool:
        """Whether Graph's clock is known."""
        return self._graph.has_told_the_time

    async def prove(self, hand: RunInHand, backlog: Backlog, pauses: Pauses, rows: Sequence[UserRow]) -> None:
        """Read the users as they stand now (at most 20) and enter what that tells."""
        asked_at = self._graph.time()
        answers = await self._graph.read_users([target(row) for row in rows])
        verdicts = [of_read(answer) for answer in answers]
        changes = await pauses.after("read", verdicts)
        if any(map(_is_forbidden, verdicts)) and not await self._may_read():
            await self._give_up(hand, backlog)
            return
        # A worker may stand still over an answer; and only an answer shows that this host's clock was ahead of Graph's.
        now = min(asked_at, self._graph.time())
        changed: list[tuple[UserRow, UserRow]] = []
        for row, answer, verdict in zip(rows, answers, verdicts, strict=True):
            if not backlog.is_waiting(row):
                continue
            after = row
            if verdict.effect is Effect.ACCEPTED or _is_forbidden(verdict):
                # A user whom the app alone may not read looks like one whose cut-off does not move.
                after = _judged(row, answer, last=next_read(row, now) is None, proving=hand.run.proving)
            elif verdict.effect is Effect.FINAL and row.status is not UserStatus.REVOKED:
                after = row.ended(UserStatus.FAILED, verdict.problem)
            elif verdict.effect is Effect.FINAL and row.sent_at and now >= row.sent_at + _GONE_AFTER:
                after = row.ended(UserStatus.FAILED, problems.UNVERIFIED)
            if after == row:
                backlog.was_read(row, None if verdict.effect is Effect.AGAIN else now)
            else:
                changed.append((row, after))
                backlog.landed(after, proving=hand.run.proving)
        if changed or changes:
            await hand.note(changed, **changes)

    async def _may_read(self) -> bool:
        """Whether the token still carries the permission: users were read before, so a 403 is about one then."""
        try:
            return (await self._graph.token()).may(READ_USERS)
        except TokenUnavailable:
            return True

    async def _give_up(self, hand: RunInHand, backlog: Backlog) -> None:
        """Reading is not permitted any more: without this, revoked users would wait for a proof that can never come."""
        blind = [(row, unread(row)) for row in backlog.give_up_reading()]
        for _, row in blind:
            backlog.landed(row, proving=False)
        # From here on they may be sent again: the mark of that has to come after this.
        for chunk in batched(blind, ROWS_PER_COMMIT, strict=False):
            await hand.note(chunk)
        warnings = (*hand.run.warnings, UNPROVEN_BY_PERMISSION)
        await hand.write(proving=False, warnings=tuple(dict.fromkeys(warnings)))


def _is_forbidden(verdict: Verdict) -> bool:
    return verdict.effect is Effect.FINAL and verdict.problem is None


def _judged(row: UserRow, answer: Answer, *, last: bool, proving: bool) -> UserRow:
    value = (answer.body or {}).get("signInSessionsValidFromDateTime")
    valid_from = parsed_or_none(value) if isinstance(value, str) else None
    if row.status is UserStatus.REVOKED:
        if has_moved(row, valid_from):
            return replace(row.ended(UserStatus.VERIFIED), valid_from=valid_from)
        return row.ended(UserStatus.FAILED, problems.UNVERIFIED) if last else row
    if settles(row, valid_from):
        settled = replace(row, revoked_at=row.sent_at, doubt=None)
        if not proving:
            return settled.ended(UserStatus.REVOKED)
        return replace(settled.ended(UserStatus.VERIFIED), valid_from=valid_from)
    return replace(row, sent_at=None, doubt=None) if last else row
