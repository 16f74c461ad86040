from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine import NOON, counted, fresh_hand, same_counts, stored_run, users
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from revoke_core.adapters.run_row import RUN_ROW
from revoke_core.adapters.storage import USERS_TABLE
from revoke_core.domain.errors import LeaseLost, Unavailable
from revoke_core.domain.results import UserRow, UserStatus
from revoke_core.domain.run import Flight, Run
from revoke_core.domain.schedules import LEASE
from revoke_core.service.run_in_hand import ROWS_PER_COMMIT, RunInHand

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


def flight(*places: int, at: datetime = NOON) -> Flight:
    return Flight(positions=places, sent_at=at)


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
    hand = fresh_hand(log, clock)
    known = {row.position: row for row in users(1, size)}
    await hand.add_page(list(known.values()), positions=size, duplicates=3)
    for places, status, waits in history:
        pairs: list[tuple[UserRow | None, UserRow]] = []
        for place in places:
            if before := known.get(place):
                known[place] = replace(before, status=status, attempts=before.attempts + 1)
                pairs.append((before, known[place]))
        await (hand.write(pairs) if waits else hand.note(pairs))
    await hand.flush()
    rows = await log.all_rows(hand.run.request_id)
    assert rows == list(known.values())
    stored = await stored_run(log, hand.run.request_id)
    assert (stored.counts, stored.positions) == (counted(rows, duplicates=3), size)
    assert stored.counts == hand.run.counts
    assert max(len(saved.rows) for saved in log.saves) <= ROWS_PER_COMMIT


async def test_an_indivisible_write_is_never_split(log: WatchedLog, clock: HandSetClock) -> None:
    """What does not fit beside the others goes whole into the next transaction, with its counts."""
    hand = fresh_hand(log, clock)
    page = users(1, 180)
    await hand.add_page(page, positions=180)
    await hand.flush()
    log.saves.clear()
    for first, last in ((0, 60), (60, 120), (120, 180)):
        await hand.note([(row, row.ended(UserStatus.FAILED)) for row in page[first:last]])
    await hand.flush()
    assert [[row.position for row in saved.rows] for saved in log.saves] == [
        list(range(1, 61)),
        list(range(61, 121)),
        list(range(121, 181)),
    ]
    assert [saved.run.counts.failed for saved in log.saves] == [60, 120, 180]


async def test_users_of_a_page_count_from_its_last_commit_on(log: WatchedLog, clock: HandSetClock) -> None:
    """A worker that dies in the middle of a page leaves rows that nobody has counted."""
    hand = fresh_hand(log, clock)
    await hand.add_page(users(1, 250), positions=250, checkpoint="on")
    await hand.flush()
    told = [(saved.run.positions, saved.run.counts.total, saved.run.checkpoint) for saved in log.saves]
    assert told == [(0, 0, None), (0, 0, None), (250, 250, "on")]


async def test_pages_that_share_a_transaction_keep_their_duplicates(log: WatchedLog, clock: HandSetClock) -> None:
    """Small pages come quickly one after the other; every folded name is told."""
    hand = fresh_hand(log, clock)
    for place in range(1, 4):
        await hand.add_page(users(place, place), positions=place, duplicates=place)
    await hand.flush()
    assert len(log.saves) == 1
    assert (await stored_run(log, hand.run.request_id)).counts == counted(users(1, 3), duplicates=6)


async def test_a_mark_takes_along_what_was_found_before(log: WatchedLog, clock: HandSetClock) -> None:
    """One transaction per call: the mark of the next, and the results of the last."""
    hand = fresh_hand(log, clock)
    page = users(1, 2)
    await hand.add_page(page, positions=2)
    await hand.take_off(flight(1))
    await hand.land(flight(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    assert (await stored_run(log, hand.run.request_id)).flights == (flight(1),)
    await hand.take_off(flight(2))
    stored = await stored_run(log, hand.run.request_id)
    assert (stored.flights, stored.counts.revoked, len(log.saves)) == ((flight(2),), 1, 2)


async def test_findings_are_committed_without_a_mark_soon(log: WatchedLog, clock: HandSetClock) -> None:
    """The last call of all has no mark behind it."""
    hand = fresh_hand(log, clock)
    page = users(1, 1)
    await hand.add_page(page, positions=1)
    await hand.take_off(flight(1))
    await hand.land(flight(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    async with asyncio.timeout(5):
        while (stored := await stored_run(log, hand.run.request_id)).flights:
            pass
    assert stored.counts.revoked == 1


async def test_a_worker_that_was_given_up_writes_nothing_more(log: WatchedLog, clock: HandSetClock) -> None:
    """The fence: once another worker has the run, neither rows nor marks of the old one count."""
    hand = fresh_hand(log, clock)
    page = users(1, 1)
    await hand.add_page(page, positions=1)
    await hand.flush()
    rival = await log.save(replace(hand.run, owner="second", epoch=2), [])
    with pytest.raises(LeaseLost):
        await hand.write([(page[0], page[0].ended(UserStatus.FAILED))])
    with pytest.raises(LeaseLost):
        await hand.take_off(flight(1))
    assert await log.all_rows(hand.run.request_id) == page
    assert await log.run(hand.run.request_id) == rival


async def test_the_same_owner_in_a_later_epoch_is_another_worker(log: WatchedLog, clock: HandSetClock) -> None:
    """A name alone is no proof of the lease."""
    hand = fresh_hand(log, clock)
    await hand.write()
    await log.save(replace(hand.run, epoch=2), [])
    with pytest.raises(LeaseLost):
        await hand.write()


async def test_two_first_workers_cannot_both_begin(log: WatchedLog, clock: HandSetClock) -> None:
    """A run row is begun once."""
    hand = fresh_hand(log, clock)
    other = RunInHand(run=replace(hand.run, owner="second"), log=log, clock=clock)
    await hand.write()
    with pytest.raises(LeaseLost):
        await other.write()


async def test_a_wish_to_cancel_is_adopted_and_nothing_is_lost(log: WatchedLog, clock: HandSetClock) -> None:
    """Somebody with a say writes to the run while the worker has findings in hand: both stand."""
    hand = fresh_hand(log, clock)
    page = users(1, 1)
    await hand.add_page(page, positions=1)
    await hand.take_off(flight(1))
    assert await log.request_cancel(hand.run.request_id, datetime.now(UTC))
    await hand.land(flight(1), [(page[0], page[0].ended(UserStatus.REVOKED))])
    await hand.flush()
    stored = await stored_run(log, hand.run.request_id)
    assert hand.run.cancel_requested
    assert (stored.cancel_requested, stored.flights, stored.counts.revoked) == (True, (), 1)
    same_counts(stored, await log.all_rows(hand.run.request_id))


async def test_wishes_that_keep_coming_cost_no_lease(log: WatchedLog, clock: HandSetClock) -> None:
    """An impatient caller cancels again and again."""
    hand = fresh_hand(log, clock)
    await hand.write()
    left = 3

    async def cancel(run: Run) -> None:
        nonlocal left
        if left:
            left -= 1
            await log.request_cancel(run.request_id, datetime.now(UTC))

    log.before_save = cancel
    await hand.write(failures=7)
    stored = await stored_run(log, hand.run.request_id)
    assert (stored.failures, stored.cancel_requested, left) == (7, True, 0)


async def test_a_confirmation_is_adopted(log: WatchedLog, clock: HandSetClock) -> None:
    """It may come before the worker that held the request has let go."""
    hand = fresh_hand(log, clock)
    await hand.write(held_at=NOON)
    await log.save(replace(hand.run, confirmed_at=NOON), [])
    await hand.write(failures=1)
    stored = await stored_run(log, hand.run.request_id)
    assert (stored.confirmed_at, stored.held_at, stored.failures) == (NOON, NOON, 1)


async def test_after_a_failure_everybody_is_told_and_nothing_more_is_written(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """Half of a worker's findings must not stand without the other half."""
    hand = fresh_hand(log, clock)
    page = users(1, 150)
    await hand.add_page(page, positions=150)
    await hand.flush()
    log.saves_left = 0
    waiting = [
        hand.write([(page[0], page[0].ended(UserStatus.FAILED))]),
        hand.take_off(flight(2)),
        hand.write([(row, row.ended(UserStatus.FAILED)) for row in page[50:149]]),
    ]
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(problem) for problem in told] == [Unavailable] * 3
    log.saves_left = None
    for late in (hand.write, hand.note, hand.flush):
        with pytest.raises(Unavailable):
            await late()
    assert await log.all_rows(hand.run.request_id) == page
    assert (await stored_run(log, hand.run.request_id)).flights == ()


async def test_the_lease_is_renewed_in_its_second_half_only(log: WatchedLog, clock: HandSetClock) -> None:
    """A slice that only waits costs few transactions."""
    hand = fresh_hand(log, clock)
    await hand.write()
    clock.moment += LEASE / 2
    await hand.renew()
    assert len(log.saves) == 1
    clock.moment += LEASE / 100
    await hand.renew()
    assert (await stored_run(log, hand.run.request_id)).lease_until == hand.run.lease_until
    assert hand.run.lease_until
    assert hand.run.lease_until >= clock.now() + LEASE * 0.99


async def test_a_wish_behind_a_save_whose_answer_was_lost_is_adopted(log: WatchedLog, clock: HandSetClock) -> None:
    """The SDK sends such a save again and is refused: the row is ours, and somebody has spoken since."""
    hand = fresh_hand(log, clock)
    await hand.write(failures=1)
    entity = await log._storage.table(USERS_TABLE).get_entity(hand.run.request_id, RUN_ROW)
    assert await log.request_cancel(hand.run.request_id, datetime.now(UTC))
    found = await log._own_write(hand.run, entity["WriteId"])
    assert found.cancel_requested
    assert (await log.save(found, [])).failures == 1


async def test_a_commit_goes_on_when_somebody_who_waits_for_it_is_broken_off(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """Others have a part in it, and whoever was broken off still has to put the request down."""
    hand = fresh_hand(log, clock)
    await hand.write()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Run) -> None:
        begun.set()
        await go_on.wait()

    log.before_save = slow
    waiting = [asyncio.create_task(wait) for wait in (hand.take_off(flight(1)), hand.flush())]
    await begun.wait()
    waiting[1].cancel()
    await asyncio.wait(waiting[1:])
    go_on.set()
    await waiting[0]
    await hand.write(failures=1)
    stored = await stored_run(log, hand.run.request_id)
    assert (stored.failures, stored.flights) == (1, (flight(1),))


async def test_a_worker_is_sure_of_its_lease_while_it_is_written_and_lasts(
    log: WatchedLog, clock: HandSetClock
) -> None:
    """No call leaves when somebody else may be at work."""
    hand = fresh_hand(log, clock)
    assert not hand.is_sure
    await hand.write()
    assert hand.is_sure
    clock.moment += LEASE * 0.7
    assert not hand.is_sure
    await hand.write()
    assert hand.is_sure
