from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine import NOON, counted, new_unit, same_counts, stored_run, users
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from revoke_core.domain.errors import LeaseLost, Unavailable
from revoke_core.domain.run import Run, SendIntent
from revoke_core.domain.schedules import LEASE
from revoke_core.domain.user_state import UserRow, UserStatus
from revoke_core.service.engine.unit_of_work import ROWS_PER_COMMIT, UnitOfWork

if TYPE_CHECKING:
    from engine import HandSetClock, WatchedLog

ENDS = [UserStatus.REVOKED, UserStatus.VERIFIED, UserStatus.SKIPPED, UserStatus.FAILED, UserStatus.PENDING]
# A history: findings over some of 250 users each, and whether somebody waits for the commit.
HISTORIES = st.lists(
    st.tuples(
        st.lists(st.integers(1, 250), min_size=1, max_size=ROWS_PER_COMMIT, unique=True),
        st.sampled_from(ENDS),
        st.booleans(),
    ),
    max_size=12,
)


def intent(*positions: int, at: datetime = NOON) -> SendIntent:
    return SendIntent(positions=positions, sent_at=at)


# Every example asks storage: looking for the smallest one would take minutes.
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=HISTORIES, size=st.integers(1, 250))
async def test_counts_equal_the_rows_after_any_history(
    log: WatchedLog, clock: HandSetClock, history: list[tuple[list[int], UserStatus, bool]], size: int
) -> None:
    """Whoever is written several times, in one transaction or in several: the last word stands and is counted once."""
    log.saves.clear()
    unit = new_unit(log, clock)
    known = {row.position: row for row in users(1, size)}
    await unit.insert_rows(list(known.values()), positions=size, duplicates=3)
    for positions, status, waits in history:
        pairs: list[tuple[UserRow | None, UserRow]] = []
        for place in positions:
            if before := known.get(place):
                known[place] = replace(before, status=status, attempts=before.attempts + 1)
                pairs.append((before, known[place]))
        unit.enqueue(pairs)
        if waits:
            await unit.flush()
    await unit.flush()
    rows = await log.all_rows(unit.run.request_id)
    assert rows == list(known.values())
    stored = await stored_run(log, unit.run.request_id)
    assert (stored.counts, stored.positions) == (counted(rows, duplicates=3), size)
    assert stored.counts == unit.run.counts
    assert max(len(saved.rows) for saved in log.saves) <= ROWS_PER_COMMIT


async def test_an_indivisible_write_is_never_split(log: WatchedLog, clock: HandSetClock) -> None:
    """What does not fit beside the others goes whole into the next transaction, with its counts."""
    unit = new_unit(log, clock)
    page = users(1, 180)
    await unit.insert_rows(page, positions=180)
    await unit.flush()
    log.saves.clear()
    for first, last in ((0, 60), (60, 120), (120, 180)):
        unit.enqueue([(row, row.ended(UserStatus.FAILED)) for row in page[first:last]])
    await unit.flush()
    assert [[row.position for row in saved.rows] for saved in log.saves] == [
        list(range(1, 61)),
        list(range(61, 121)),
        list(range(121, 181)),
    ]
    assert [saved.run.counts.failed for saved in log.saves] == [60, 120, 180]


async def test_users_of_a_page_count_from_its_last_commit_on(log: WatchedLog, clock: HandSetClock) -> None:
    """A worker that dies in the middle of a page leaves rows that nobody has counted."""
    unit = new_unit(log, clock)
    await unit.insert_rows(users(1, 250), positions=250, checkpoint="on")
    await unit.flush()
    told = [(saved.run.positions, saved.run.counts.total, saved.run.checkpoint) for saved in log.saves]
    assert told == [(0, 0, None), (0, 0, None), (250, 250, "on")]


async def test_pages_that_share_a_transaction_keep_their_duplicates(log: WatchedLog, clock: HandSetClock) -> None:
    """Small pages come quickly one after the other; every folded name is told."""
    unit = new_unit(log, clock)
    for place in range(1, 4):
        await unit.insert_rows(users(place, place), positions=place, duplicates=place)
    await unit.flush()
    assert len(log.saves) == 1
    assert (await stored_run(log, unit.run.request_id)).counts == counted(users(1, 3), duplicates=6)


async def test_a_mark_takes_along_what_was_found_before(log: WatchedLog, clock: HandSetClock) -> None:
    """One transaction per call: the mark of the next, and the results of the last."""
    unit = new_unit(log, clock)
    page = users(1, 2)
    await unit.insert_rows(page, positions=2)
    await unit.record_intent(intent(1))
    unit.record_outcome(intent(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    assert (await stored_run(log, unit.run.request_id)).intents == (intent(1),)
    await unit.record_intent(intent(2))
    stored = await stored_run(log, unit.run.request_id)
    assert (stored.intents, stored.counts.revoked, len(log.saves)) == ((intent(2),), 1, 2)


async def test_findings_are_committed_without_a_mark_soon(log: WatchedLog, clock: HandSetClock) -> None:
    """The last call of all has no mark behind it."""
    unit = new_unit(log, clock)
    page = users(1, 1)
    await unit.insert_rows(page, positions=1)
    await unit.record_intent(intent(1))
    unit.record_outcome(intent(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    async with asyncio.timeout(5):
        while (stored := await stored_run(log, unit.run.request_id)).intents:
            pass
    assert stored.counts.revoked == 1


async def test_a_worker_that_was_given_up_writes_nothing_more(log: WatchedLog, clock: HandSetClock) -> None:
    """The fence: once another worker has the run, neither rows nor marks of the old one count."""
    unit = new_unit(log, clock)
    page = users(1, 1)
    await unit.insert_rows(page, positions=1)
    await unit.flush()
    rival = await log.save_run(replace(unit.run, owner="second", epoch=2), [])
    with pytest.raises(LeaseLost):
        await unit.commit([(page[0], page[0].ended(UserStatus.FAILED))])
    with pytest.raises(LeaseLost):
        await unit.record_intent(intent(1))
    assert await log.all_rows(unit.run.request_id) == page
    assert await log.get_run(unit.run.request_id) == rival


async def test_the_same_owner_in_a_later_epoch_is_another_worker(log: WatchedLog, clock: HandSetClock) -> None:
    """A name alone is no proof of the lease."""
    unit = new_unit(log, clock)
    await unit.commit()
    await log.save_run(replace(unit.run, epoch=2), [])
    with pytest.raises(LeaseLost):
        await unit.commit()


async def test_two_first_workers_cannot_both_begin(log: WatchedLog, clock: HandSetClock) -> None:
    """A run row is begun once."""
    unit = new_unit(log, clock)
    other = UnitOfWork(run=replace(unit.run, owner="second"), log=log, clock=clock)
    await unit.commit()
    with pytest.raises(LeaseLost):
        await other.commit()


async def test_a_wish_to_cancel_is_adopted_and_nothing_is_lost(log: WatchedLog, clock: HandSetClock) -> None:
    """Somebody with a say writes to the run while the worker has findings in unit: both stand."""
    unit = new_unit(log, clock)
    page = users(1, 1)
    await unit.insert_rows(page, positions=1)
    await unit.record_intent(intent(1))
    assert await log.request_cancel(unit.run.request_id, datetime.now(UTC))
    unit.record_outcome(intent(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    await unit.flush()
    stored = await stored_run(log, unit.run.request_id)
    assert unit.run.cancel_requested
    assert (stored.cancel_requested, stored.intents, stored.counts.revoked) == (True, (), 1)
    same_counts(stored, await log.all_rows(unit.run.request_id))


async def test_wishes_that_keep_coming_cost_no_lease(log: WatchedLog, clock: HandSetClock) -> None:
    """An impatient caller cancels again and again."""
    unit = new_unit(log, clock)
    await unit.commit()
    left = 3

    async def cancel(run: Run) -> None:
        nonlocal left
        if left:
            left -= 1
            await log.request_cancel(run.request_id, datetime.now(UTC))

    log.before_save = cancel
    await unit.commit(failures=7)
    stored = await stored_run(log, unit.run.request_id)
    assert (stored.failures, stored.cancel_requested, left) == (7, True, 0)


async def test_a_confirmation_is_adopted(log: WatchedLog, clock: HandSetClock) -> None:
    """It may come before the worker that held the request has let go."""
    unit = new_unit(log, clock)
    await unit.commit(held_at=NOON)
    await log.save_run(replace(unit.run, confirmed_at=NOON), [])
    await unit.commit(failures=1)
    stored = await stored_run(log, unit.run.request_id)
    assert (stored.confirmed_at, stored.held_at, stored.failures) == (NOON, NOON, 1)


async def test_after_a_failure_everybody_is_told_and_nothing_more_is_written(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """Half of a worker's findings must not stand without the other half."""
    unit = new_unit(log, clock)
    page = users(1, 150)
    await unit.insert_rows(page, positions=150)
    await unit.flush()
    log.saves_left = 0
    waiting = [
        unit.commit([(page[0], page[0].ended(UserStatus.FAILED))]),
        unit.record_intent(intent(2)),
        unit.commit([(row, row.ended(UserStatus.FAILED)) for row in page[50:149]]),
    ]
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(problem) for problem in told] == [Unavailable] * 3
    log.saves_left = None
    with pytest.raises(Unavailable):
        unit.enqueue()
    for late in (unit.commit, unit.flush):
        with pytest.raises(Unavailable):
            await late()
    assert await log.all_rows(unit.run.request_id) == page
    assert (await stored_run(log, unit.run.request_id)).intents == ()


async def test_the_lease_is_renewed_in_its_second_half_only(log: WatchedLog, clock: HandSetClock) -> None:
    """A slice that only waits costs few transactions."""
    unit = new_unit(log, clock)
    await unit.commit()
    clock.moment += LEASE / 2
    await unit.renew()
    assert len(log.saves) == 1
    clock.moment += LEASE / 100
    await unit.renew()
    assert (await stored_run(log, unit.run.request_id)).lease_until == unit.run.lease_until
    assert unit.run.lease_until
    assert unit.run.lease_until >= clock.now() + LEASE * 0.99


async def test_a_signal_behind_a_save_whose_answer_was_lost_is_merged(log: WatchedLog, clock: HandSetClock) -> None:
    """The SDK sends such a save again and is refused: the row is ours, and a control route has written since."""
    unit = new_unit(log, clock)
    await unit.commit()
    submit = log._users.submit

    async def lost(operations: Any) -> Any:
        log._users.submit = submit  # type: ignore[method-assign] -- as it was
        assert await submit(operations) is not None
        assert await log.request_cancel(unit.run.request_id, datetime.now(UTC))
        return await submit(operations)

    log._users.submit = lost  # type: ignore[method-assign] -- the real one, whose first answer is lost
    await unit.commit(failures=1)
    assert unit.run.cancel_requested
    assert (await log.save_run(unit.run, [])).failures == 1


async def test_a_commit_goes_on_when_somebody_who_waits_for_it_is_broken_off(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """Others have a part in it, and whoever was broken off still has to put the request down."""
    unit = new_unit(log, clock)
    await unit.commit()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Run) -> None:
        begun.set()
        await go_on.wait()

    log.before_save = slow
    waiting = [asyncio.create_task(wait) for wait in (unit.record_intent(intent(1)), unit.flush())]
    await begun.wait()
    waiting[1].cancel()
    await asyncio.wait(waiting[1:])
    go_on.set()
    await waiting[0]
    await unit.commit(failures=1)
    stored = await stored_run(log, unit.run.request_id)
    assert (stored.failures, stored.intents) == (1, (intent(1),))


async def test_a_worker_is_sure_of_its_lease_while_it_is_written_and_lasts(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """No call leaves when somebody else may be at work."""
    unit = new_unit(log, clock)
    assert not unit.lease_is_safe
    await unit.commit()
    assert unit.lease_is_safe
    clock.moment += LEASE * 0.7
    assert not unit.lease_is_safe
    await unit.commit()
    assert unit.lease_is_safe
