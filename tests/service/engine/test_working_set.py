from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from engine import NOON, HandSetClock, WatchedLog, counted, new_unit, users
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from revoke_core.domain.user_state import UserRow, UserStatus
from revoke_core.service.engine.working_set import WorkingSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.service.engine.unit_of_work import UnitOfWork

_MOST_UNPROVEN = 1000
SENT = {"sent_at": NOON, "attempts": 1}


async def stored(log: WatchedLog, clock: HandSetClock, rows: Sequence[UserRow]) -> tuple[UnitOfWork, WorkingSet]:
    """A request with these users, and a worker that has just taken it over."""
    unit = new_unit(log, clock)
    await unit.insert_rows(rows, positions=len(rows), planned=True)
    await unit.flush()
    return unit, WorkingSet(request_id=unit.run.request_id, log=log, commit=unit.flush)


# Every step may ask storage: looking for the smallest example would take minutes.
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 600))
async def test_nobody_who_waits_is_ever_passed_over(log: WatchedLog, clock: HandSetClock, seed: int, size: int) -> None:
    """Whatever becomes of calls, and in whatever order: below ``done_to`` nobody waits, and everybody is sent once."""
    dice = random.Random(seed)  # noqa: S311 -- an order of events, no secret
    unit, working_set = await stored(log, clock, users(1, size))
    waiting = dict.fromkeys(range(1, size + 1))
    intents: list[list[UserRow]] = []
    accepted: list[int] = []
    steps = 0
    while waiting:
        steps += 1
        assert steps < 100 * size + 1_000, "somebody waits and is never sent"
        if working_set.wants_more(size):
            await working_set.load(size)
        if working_set.unsent and (not intents or dice.random() < 0.6):
            intents.append(working_set.take(dice.randint(1, 20)))
        elif intents:
            rows = intents.pop(dice.randrange(len(intents)))
            if dice.random() < 0.1:
                working_set.requeue(rows)
                continue
            pairs: list[tuple[UserRow | None, UserRow]] = []
            for row in rows:
                fate = dice.random()
                after = replace(row, attempts=row.attempts + 1)
                if fate < 0.7:
                    after = after.ended(UserStatus.REVOKED)
                    accepted.append(row.position)
                    del waiting[row.position]
                pairs.append((row, after))
                working_set.update(after, verifying=False)
            unit.enqueue(pairs)
        assert working_set.low_watermark < min(waiting, default=size + 1)
    assert sorted(accepted) == list(range(1, size + 1))
    assert working_set.is_empty
    assert working_set.low_watermark == size
    await unit.flush()
    assert unit.run.counts == counted(await log.all_rows(unit.run.request_id))


async def test_who_is_in_doubt_holds_the_mark_back(log: WatchedLog, clock: HandSetClock) -> None:
    """A worker that takes over begins with whoever has to be read."""
    rows = users(1, 30)
    rows[6] = replace(rows[6], **SENT)
    _, working_set = await stored(log, clock, rows)
    await working_set.load(30)
    assert working_set.unsent == 29
    taken = working_set.take(29)
    for row in taken:
        working_set.update(row.ended(UserStatus.REVOKED), verifying=False)
    assert (working_set.low_watermark, working_set.is_empty) == (6, False)
    (doubtful,) = working_set.take_due_reads(NOON + timedelta(hours=1), 20)
    assert doubtful.position == 7


async def test_what_changed_while_a_page_was_read_is_not_taken_back(log: WatchedLog, clock: HandSetClock) -> None:
    """The page says that a user waits; the answer that came meanwhile says otherwise."""
    rows = [replace(row, **SENT) for row in users(1, 3)]
    _, working_set = await stored(log, clock, rows)
    await working_set.load(3)

    async def settled(status: UserStatus) -> None:
        assert status is UserStatus.PENDING
        working_set.update(rows[1].ended(UserStatus.REVOKED), verifying=False)

    log.after_page = settled
    working_set.loaded_to = 0
    await working_set.load(3)
    assert not working_set.may_be_sent(2)
    assert working_set.unsent == 0
    assert working_set.may_be_sent(1)
    assert working_set.may_be_sent(3)


async def test_a_proof_that_came_while_unproven_users_were_read_stands(log: WatchedLog, clock: HandSetClock) -> None:
    """Otherwise the user would be proven, and counted, twice."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 3, **SENT)]
    _, working_set = await stored(log, clock, rows)

    async def proven(status: UserStatus) -> None:
        assert status is UserStatus.REVOKED
        working_set.update(rows[0].ended(UserStatus.VERIFIED), verifying=True)

    log.after_page = proven
    await working_set.scan_unverified(NOON, timedelta(seconds=30))
    due = working_set.take_due_reads(NOON + timedelta(hours=1), 20)
    assert [row.position for row in due] == [2, 3]


async def test_who_is_done_with_is_not_held(log: WatchedLog, clock: HandSetClock) -> None:
    """However many users go straight from planning to their last word while no page is read from the table."""
    _, working_set = await stored(log, clock, [])
    await working_set.load(0)
    tracemalloc.start()
    try:
        for first in range(1, 20_001, 100):
            working_set.add_planned(users(first, first + 99))
            for row in working_set.take(100):
                working_set.update(row.ended(UserStatus.REVOKED), verifying=True)
                working_set.update(row.ended(UserStatus.VERIFIED), verifying=True)
        assert (working_set.low_watermark, working_set.is_empty) == (20_000, True)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()


async def test_findings_are_written_before_the_table_is_asked(log: WatchedLog, clock: HandSetClock) -> None:
    """A finding that lingers would be missing in the page."""
    unit, working_set = await stored(log, clock, users(1, 2))
    (first, _) = await log.all_rows(unit.run.request_id)
    unit.enqueue([(first, first.ended(UserStatus.FAILED))])
    await working_set.load(2)
    assert [row.position for row in working_set.take(20)] == [2]


async def test_lagging_users_beyond_a_thousand_are_forgotten_and_found_again(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """100,000 users whose cut-off lags cost no more memory than a thousand; none of them is lost."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 1_300, **SENT)]
    _, working_set = await stored(log, clock, rows)
    now = NOON + timedelta(seconds=31)
    for row in rows:
        working_set.update(row, verifying=True)
        working_set.keep_reading(row, now)
        working_set.evict(now, timedelta(seconds=10))
        assert len(working_set._unverified) <= _MOST_UNPROVEN
    found: set[int] = set()
    while len(found) < len(rows):
        if working_set.misses_unverified(len(rows) - len(found)):
            await working_set.scan_unverified(now, timedelta(seconds=0))
        for row in working_set.take_due_reads(now + timedelta(hours=1), 1_000):
            working_set.update(row.ended(UserStatus.VERIFIED), verifying=True)
            found.add(row.position)
    assert found == {row.position for row in rows}


async def test_who_is_read_now_is_not_forgotten(log: WatchedLog, clock: HandSetClock) -> None:
    """The answer has to find whom it is about."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 1_001, **SENT)]
    _, working_set = await stored(log, clock, rows[:1])
    now = NOON + timedelta(seconds=31)
    working_set.update(rows[0], verifying=True)
    (reading,) = working_set.take_due_reads(now, 1)
    for row in rows[1:]:
        working_set.update(row, verifying=True)
        working_set.keep_reading(row, now)
    working_set.evict(now, timedelta(seconds=10))
    assert working_set.is_unchanged(reading)


async def test_users_of_a_dead_workers_call_are_in_doubt_once(log: WatchedLog, clock: HandSetClock) -> None:
    """Whoever has a last word already keeps it; nobody in doubt is sent unread."""
    rows = users(1, 4)
    rows[1] = rows[1].ended(UserStatus.REVOKED)
    rows[2] = replace(rows[2], **SENT)
    _, working_set = await stored(log, clock, rows)
    pairs = working_set.adopt_intent(rows, NOON)
    assert [(after.position, after.sent_at, after.attempts) for _, after in pairs] == [(1, NOON, 1), (4, NOON, 1)]
    await working_set.load(4)
    assert working_set.unsent == 0
    assert working_set.low_watermark == 0
