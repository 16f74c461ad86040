"""Users whom Graph could not look up with their page: looked up again one by one, and sent by object id at last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from revoke_core import logs
from revoke_core.domain import problems
from revoke_core.domain.user_state import UserStatus
from revoke_core.service.engine.lookup import PlannedUsers
from revoke_core.service.engine.planner import seen_users
from revoke_core.service.engine.request_warnings import MAY_BE_EXTERNAL, warnings_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.seen_users import SeenUsers
    from revoke_core.domain.user_state import UserRow
    from revoke_core.ports.shared import Clock
    from revoke_core.ports.status_log import StatusLog, UserIndex
    from revoke_core.service.engine.context import RunContext
    from revoke_core.service.engine.lookup import Judgement, UserLookup

_AT_ONCE: Final = 20
# After so many look-ups without an answer (half a minute) a user whose object id is known is sent all the same: the
# call takes no more than the id, and a session that goes on is worse than a proof that comes late.
_SENT_UNSEEN_AFTER: Final = 6


class LateLookups:
    """Starts the look-ups of a run's deferred users as they fall due; no other user waits for them."""

    def __init__(self, *, lookup: UserLookup, log: StatusLog, index: UserIndex, clock: Clock) -> None:
        self._lookup = lookup
        self._log = log
        self._index = index
        self._clock = clock

    async def start(self, run: RunContext) -> datetime | None:
        """Start look-ups that are due; returns when the next one is."""
        due = run.users.next_lookup_due()
        if due is None or run.is_looking_up_late:
            return None
        if due > self._clock.now():
            return due
        if closed := await run.backoff.open_from("read"):
            return closed
        rows = run.users.take_due_lookups(self._clock.now(), _AT_ONCE)
        run.planning.late = run.tasks.spawn(self._look_up(run, rows))
        return None

    async def _look_up(self, run: RunContext, rows: Sequence[UserRow]) -> None:
        users = [row.target for row in rows]
        lookup = await self._lookup.look_up(users, singly=True)
        run.planning.exclusion = await self._lookup.find_excluded(run.request, run.planning.exclusion)
        planned = PlannedUsers(request=run.request, users=users, exclusion=run.planning.exclusion)
        judgement = await self._lookup.judgement(planned, lookup)
        obstacle = problems.PROTECTED_UNREADABLE if judgement is None else lookup.obstacle
        if judgement is None or (obstacle and not lookup.tries):
            # It concerns every user, so it says nothing about these.
            run.backoff.blocked("read", obstacle or problems.GRAPH_UNAVAILABLE, lookup.pause)
            for row in rows:
                run.users.update(row, verifying=run.unit.run.verifying)
            return
        seen = await seen_users(run, self._log)
        pairs = [(row, _judged(row, judgement, seen)) for row in rows if run.users.is_deferred(row)]
        found = [after for _, after in pairs if not after.awaits_lookup]
        # Before their rows say who they are: an entry that leads to a row of another name is passed over.
        await self._index.add(run.record.id, found)
        excluded = sum(row.problem in (problems.EXCLUDED, problems.DUPLICATE) for row in found)
        doubtful = any(judgement.is_doubtful(row.target, after) for row, after in pairs)
        warnings = warnings_for(
            run.request,
            readable=run.unit.ahead.readable,
            others=(*run.unit.ahead.warnings, *((MAY_BE_EXTERNAL,) if doubtful else ())),
        )
        run.unit.enqueue(pairs, excluded=run.unit.ahead.excluded + excluded, warnings=warnings)
        for _, after in pairs:
            await self._go_on(run, planned, after)

    async def _go_on(self, run: RunContext, planned: PlannedUsers, row: UserRow) -> None:
        is_due = row.awaits_lookup and row.failed_lookups >= _SENT_UNSEEN_AFTER
        if is_due and await self._lookup.may_be_sent_unseen(planned, row.target):
            logs.event("user_sent_unseen", requestId=run.record.id, lookups=row.failed_lookups)
            run.users.release(row)
        else:
            run.users.update(row, verifying=run.unit.run.verifying, failed_at=self._clock.now())


def _judged(row: UserRow, judgement: Judgement, seen: SeenUsers) -> UserRow:
    """The row after one more look-up, with the place and the name it has."""
    user = row.target
    if judgement.lookup.lacks(user):
        return replace(row, failed_lookups=row.failed_lookups + 1)
    after = replace(judgement.row(user), position=row.position, given=row.given)
    if after.identity != row.identity and not seen.add(after.identity):
        return after.ended(UserStatus.SKIPPED, problems.DUPLICATE)
    return after
