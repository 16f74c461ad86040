from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from engine import NOON, HandSetClock, WatchedLog, counted, fresh_hand, users
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.service.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from revoke_core.service.run_in_hand import RunInHand

_MOST_UNPROVEN = 1000
SENT = {"sent_at": NOON, "attempts": 1}


async def stored(log: WatchedLog, clock: HandSetClock, rows: Sequence[UserRow]) -> tuple[RunInHand, Backlog]:
    """A request with these users, and a worker that has just taken it over."""
    hand = fresh_hand(log, clock)
    await hand.add_page(rows, positions=len(rows), planned=True)
    await hand.flush()
    return hand, Backlog(request_id=hand.run.request_id, log=log, commit=hand.flush)


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
    hand, backlog = await stored(log, clock, users(1, size))
    waiting = dict.fromkeys(range(1, size + 1))
    flights: list[list[UserRow]] = []
    accepted: list[int] = []
    steps = 0
    while waiting:
        steps += 1
        assert steps < 100 * size + 1_000, "somebody waits and is never sent"
        if backlog.wants_more(size):
            await backlog.load(size)
        if backlog.unsent and (not flights or dice.random() < 0.6):
            flights.append(backlog.take(dice.randint(1, 20)))
        elif flights:
            rows = flights.pop(dice.randrange(len(flights)))
            if dice.random() < 0.1:
                backlog.put_back(rows)
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
                backlog.landed(after, proving=False)
            await hand.note(pairs)
        assert backlog.done_to < min(waiting, default=size + 1)
    assert sorted(accepted) == list(range(1, size + 1))
    assert backlog.is_empty
    assert backlog.done_to == size
    await hand.flush()
    assert hand.run.counts == counted(await log.all_rows(hand.run.request_id))


async def test_who_is_in_doubt_holds_the_mark_back(log: WatchedLog, clock: HandSetClock) -> None:
    """A worker that takes over begins with whoever has to be read."""
    rows = users(1, 30)
    rows[6] = replace(rows[6], **SENT)
    _, backlog = await stored(log, clock, rows)
    await backlog.load(30)
    assert backlog.unsent == 29
    taken = backlog.take(29)
    for row in taken:
        backlog.landed(row.ended(UserStatus.REVOKED), proving=False)
    assert (backlog.done_to, backlog.is_empty) == (6, False)
    (doubtful,) = backlog.due(NOON + timedelta(hours=1), 20)
    assert doubtful.position == 7


async def test_what_changed_while_a_page_was_read_is_not_taken_back(log: WatchedLog, clock: HandSetClock) -> None:
    """The page says that a user waits; the answer that came meanwhile says otherwise."""
    rows = [replace(row, **SENT) for row in users(1, 3)]
    _, backlog = await stored(log, clock, rows)
    await backlog.load(3)

    async def settled(status: UserStatus) -> None:
        assert status is UserStatus.PENDING
        backlog.landed(rows[1].ended(UserStatus.REVOKED), proving=False)

    log.after_page = settled
    backlog.loaded_to = 0
    await backlog.load(3)
    assert not backlog.is_in_doubt(2)
    assert backlog.unsent == 0
    assert backlog.is_in_doubt(1)
    assert backlog.is_in_doubt(3)


async def test_a_proof_that_came_while_unproven_users_were_read_stands(log: WatchedLog, clock: HandSetClock) -> None:
    """Otherwise the user would be proven, and counted, twice."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 3, **SENT)]
    _, backlog = await stored(log, clock, rows)

    async def proven(status: UserStatus) -> None:
        assert status is UserStatus.REVOKED
        backlog.landed(rows[0].ended(UserStatus.VERIFIED), proving=True)

    log.after_page = proven
    await backlog.load_unproven(NOON, timedelta(seconds=30))
    due = backlog.due(NOON + timedelta(hours=1), 20)
    assert [row.position for row in due] == [2, 3]


async def test_who_is_done_with_is_not_held(log: WatchedLog, clock: HandSetClock) -> None:
    """However many users go straight from planning to their last word while no page is read from the table."""
    _, backlog = await stored(log, clock, [])
    await backlog.load(0)
    tracemalloc.start()
    try:
        for first in range(1, 20_001, 100):
            backlog.planned(users(first, first + 99))
            for row in backlog.take(100):
                backlog.landed(row.ended(UserStatus.REVOKED), proving=True)
                backlog.landed(row.ended(UserStatus.VERIFIED), proving=True)
        assert (backlog.done_to, backlog.is_empty) == (20_000, True)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()


async def test_findings_are_written_before_the_table_is_asked(log: WatchedLog, clock: HandSetClock) -> None:
    """A finding that lingers would be missing in the page."""
    hand, backlog = await stored(log, clock, users(1, 2))
    (first, _) = await log.all_rows(hand.run.request_id)
    await hand.note([(first, first.ended(UserStatus.FAILED))])
    await backlog.load(2)
    assert [row.position for row in backlog.take(20)] == [2]


async def test_lagging_users_beyond_a_thousand_are_forgotten_and_found_again(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """100,000 users whose cut-off lags cost no more memory than a thousand; none of them is lost."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 1_300, **SENT)]
    _, backlog = await stored(log, clock, rows)
    now = NOON + timedelta(seconds=31)
    for row in rows:
        backlog.landed(row, proving=True)
        backlog.was_read(row, now)
        backlog.forget_lagging(now, timedelta(seconds=10))
        assert len(backlog._unproven) <= _MOST_UNPROVEN
    found: set[int] = set()
    while len(found) < len(rows):
        if backlog.misses_proofs(len(rows) - len(found)):
            await backlog.load_unproven(now, timedelta(seconds=0))
        for row in backlog.due(now + timedelta(hours=1), 1_000):
            backlog.landed(row.ended(UserStatus.VERIFIED), proving=True)
            found.add(row.position)
    assert found == {row.position for row in rows}


async def test_who_is_read_now_is_not_forgotten(log: WatchedLog, clock: HandSetClock) -> None:
    """The answer has to find whom it is about."""
    rows = [row.ended(UserStatus.REVOKED) for row in users(1, 1_001, **SENT)]
    _, backlog = await stored(log, clock, rows[:1])
    now = NOON + timedelta(seconds=31)
    backlog.landed(rows[0], proving=True)
    (reading,) = backlog.due(now, 1)
    for row in rows[1:]:
        backlog.landed(row, proving=True)
        backlog.was_read(row, now)
    backlog.forget_lagging(now, timedelta(seconds=10))
    assert backlog.is_waiting(reading)


async def test_users_of_a_dead_workers_call_are_in_doubt_once(log: WatchedLog, clock: HandSetClock) -> None:
    """Whoever has a last word already keeps it; nobody in doubt is sent unread."""
    rows = users(1, 4)
    rows[1] = rows[1].ended(UserStatus.REVOKED)
    rows[2] = replace(rows[2], **SENT)
    _, backlog = await stored(log, clock, rows)
    pairs = backlog.adopt_flight(rows, NOON)
    assert [(after.position, after.sent_at, after.attempts) for _, after in pairs] == [(1, NOON, 1), (4, NOON, 1)]
    await backlog.load(4)
    assert backlog.unsent == 0
    assert backlog.done_to == 0
