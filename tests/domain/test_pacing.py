from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pace_simulation import SERVERS, simulate, simulate_after_hiccups

from revoke_core.domain.lanes import Lane
from revoke_core.domain.pacing import CUT, Block, ConcurrencyLimit, Pace

NOW = datetime(2026, 9, 10, 14, 32, 27, tzinfo=UTC)
QUOTA = 3000
LOW = replace(Pace.start(QUOTA, NOW), tokens=150.0, assumed=False, used=2850.0)
SHORT, LONG = timedelta(seconds=10), timedelta(seconds=140)

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take small", "give back", "throttled", "clean", "wait"]),
        st.integers(min_value=1, max_value=300),
    ),
    max_size=80,
)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(steps, st.sampled_from([1, 7, 30, 300, QUOTA, 90_000]))
def test_no_history_grants_more_than_capacity_and_refill(history: list[tuple[str, int]], quota: int) -> None:
    """Whatever happens, what can be spent fits the published quota, and the bucket never holds more than it."""
    pace, now, granted, full = Pace.start(quota, NOW), 0.0, 0, quota / 150
    places: list[Block] = []
    for what, number in history:
        if what.startswith("take"):
            block, pace = pace.take(number, at(now), lane=Lane.SMALL if what == "take small" else Lane.LARGE)
            granted += block.tokens
            places.append(replace(block, tokens=0))
        elif what == "give back":
            returned = min(number, granted)
            pace, granted = pace.give_back(returned), granted - returned
        elif what == "throttled":
            pace = pace.on(at(now)).throttled(sent_at=at(now), now=at(now), pause=timedelta(seconds=number))
        elif what == "clean":
            pace = pace.on(at(now)).regain(number).sent(number)
        else:
            now += number / 10
        due = sum(place.due(pace.on(at(now))) for place in places)
        assert granted + due <= quota + full * now + 1e-6
        assert 0 <= pace.tokens <= quota
        assert pace.queued >= 0
        assert min(1.0, full) - 1e-9 <= pace.rate <= full + 1e-9


def test_a_large_request_takes_blocks_and_leaves_the_reserve() -> None:
    """60 tokens per storage write, and the last 100 only for small requests."""
    pace, taken = Pace.start(QUOTA, NOW), []
    while True:
        block, pace = pace.take(20, NOW, lane=Lane.LARGE)
        if block.due(pace) == 0:
            break
        taken.append(block.due(pace))
    assert taken == [60] * 48 + [20]
    assert pace.tokens == 100
    assert pace.take(20, NOW, lane=Lane.SMALL)[0].tokens == 20


def booked(pace: Pace, number: int) -> tuple[list[Block], Pace]:
    """So many blocks, booked at the bucket's own moment."""
    blocks = []
    for _ in range(number):
        block, pace = pace.take(20, pace.at, lane=Lane.LARGE)
        blocks.append(block)
    return blocks, pace


def test_large_requests_book_their_blocks_one_behind_the_other() -> None:
    """Three instances write once each and have 60 tokens each, at 20 a second, without any further write."""
    blocks, pace = booked(replace(LOW, tokens=120.0), 3)
    assert [block.next_at(20, pace) for block in blocks] == [pace.quiet_until, at(3), at(6)]
    assert [[block.due(pace.on(at(seconds))) for block in blocks] for seconds in (1, 4, 7, 9)] == [
        [40, 0, 0],
        [60, 40, 0],
        [60, 60, 40],
        [60, 60, 60],
    ]


def test_who_finds_a_line_books_at_once_and_who_finds_none_when_a_call_can_be_paid() -> None:
    """Without rivals a block costs one write, which also starts its first call; with rivals nobody waits to race."""
    alone = replace(LOW, tokens=100.0)
    assert alone.take(20, NOW, lane=Lane.LARGE)[0].left == 0
    assert alone.next_at(20, lane=Lane.LARGE) == at(1)
    first, line = alone.take(20, at(1), lane=Lane.LARGE)
    assert (first.left, first.due(line)) == (60, 20)
    assert line.next_at(20, lane=Lane.LARGE) <= at(1)
    assert line.take(20, at(1), lane=Lane.LARGE)[0].left == 60


def test_a_small_request_passes_the_line() -> None:
    """However long it is: it draws the reserve, and the line moves on once that has refilled."""
    blocks, pace = booked(replace(LOW, tokens=120.0), 40)
    granted, pace = pace.take(20, NOW, lane=Lane.SMALL)
    assert granted.tokens == 20
    assert blocks[1].next_at(20, pace) == at(4)
    assert pace.on(at(1)).take(20, at(1), lane=Lane.SMALL)[0].tokens == 20


def test_after_a_429_the_line_keeps_its_order_and_what_was_due_is_void() -> None:
    """Nobody has to book again when the gate opens; tokens that were due before it were not in Graph's bucket."""
    blocks, pace = booked(replace(LOW, tokens=120.0), 3)
    pace = pace.on(at(1)).throttled(sent_at=at(0.5), now=at(1), pause=SHORT)
    first, second, _ = (block.still_valid(pace, used_at=NOW, is_idle=False) for block in blocks)
    assert (first.left, first.due(pace), second.left) == (20, 0, 60)
    assert second.next_at(20, pace) - at(11 + 40 / pace.rate) < timedelta(milliseconds=1)


def test_a_place_that_nobody_uses_expires_ten_seconds_after_it_was_due() -> None:
    """Its tokens have refilled by then; however long the line was before it, that does not count."""
    (_, block), pace = booked(replace(LOW, tokens=120.0), 2)
    assert block.still_valid(pace.on(at(14)), used_at=NOW, is_idle=True) == block
    assert block.still_valid(pace.on(at(16)), used_at=NOW, is_idle=True).left == 0
    assert block.still_valid(pace.on(at(16)), used_at=at(7), is_idle=False) == block


def test_small_requests_share_the_reserve_one_by_one() -> None:
    """From the reserve only what is wanted: a block there would starve the next small request."""
    pace = replace(LOW, tokens=100.0)
    granted = 0
    while (step := pace.take(1, NOW, lane=Lane.SMALL))[0].tokens:
        granted, pace = granted + step[0].tokens, step[1]
    assert granted == 100


@pytest.mark.parametrize(("quota", "reserve"), [(3000, 100), (90_000, 100), (300, 30), (9, 0)])
def test_the_reserve_is_a_tenth_of_a_small_quota(quota: int, reserve: int) -> None:
    """A scaled quota keeps something for large requests."""
    assert Pace.start(quota, NOW).reserve == reserve


@pytest.mark.parametrize("lane", Lane)
def test_next_at_names_the_moment_at_which_a_take_succeeds(lane: Lane) -> None:
    """Not earlier, or callers would ask storage in vain; not later, or they would waste the quota."""
    pace = replace(LOW, tokens=0.3)
    moment = pace.next_at(20, lane=lane)
    block, later = pace.take(20, moment, lane=lane)
    assert block.due(later) >= 20
    assert pace.take(20, moment - timedelta(milliseconds=60), lane=lane)[0].left < 20


def test_a_429_after_a_low_bucket_cuts_once_per_gate() -> None:
    """Calls that were on their way when the gate closed say nothing new; a call sent after it does."""
    first = LOW.throttled(sent_at=at(-0.3), now=NOW, pause=SHORT)
    assert first.rate == pytest.approx(20 * CUT)
    assert first.on(at(0.5)).throttled(sent_at=at(-0.1), now=at(0.5), pause=SHORT) == first
    again = first.on(at(12)).throttled(sent_at=at(11), now=at(12), pause=SHORT)
    assert again.rate == pytest.approx(20 * CUT * CUT)


def test_a_longer_gate_of_the_same_burst_keeps_the_bucket_from_filling() -> None:
    """The answers of one burst may name different ends: the last one counts, without a second cut."""
    first = LOW.throttled(sent_at=at(-0.3), now=NOW, pause=SHORT)
    longer = first.throttled(sent_at=at(-0.1), now=at(0.1), pause=timedelta(seconds=60))
    assert (longer.rate, longer.at, longer.tokens) == (first.rate, at(60.1), first.tokens)


def test_nothing_is_granted_while_the_gate_is_closed() -> None:
    """The bucket counts what refills until the gate opens, but gives none of it away before."""
    closed = LOW.throttled(sent_at=NOW, now=NOW, pause=SHORT)
    assert closed.take(1, at(9.9), lane=Lane.SMALL)[0].left == 0
    assert closed.take(1, at(10), lane=Lane.SMALL)[0].left == 1


def test_the_first_429_of_a_full_bucket_refutes_the_bucket_and_not_the_rate() -> None:
    """That the quota was unused at the start was an assumption; the refill rate has not been seen yet."""
    surprised = Pace.start(QUOTA, NOW).sent(500).throttled(sent_at=NOW, now=NOW, pause=SHORT)
    assert (surprised.share, surprised.tokens) == (1.0, 100)
    assert surprised.on(at(300)).assumed


def test_a_429_that_our_own_use_cannot_explain_teaches_nothing() -> None:
    """Six single calls refused with a second's wait, far below any quota: bucket and rate stay as they were."""
    pace = Pace.start(QUOTA, NOW)
    for number in range(6):
        moment = at(12 * number)
        taken, pace = pace.take(1, moment, lane=Lane.SMALL)
        assert taken.left
        pace = pace.on(moment).throttled(sent_at=moment, now=moment, pause=timedelta(seconds=1)).regain(1).sent(1)
    assert pace.share == 1
    assert pace.take(1, at(61), lane=Lane.LARGE)[1].tokens > QUOTA - 200


def test_after_six_lone_429s_a_large_request_is_as_fast_as_in_a_fresh_app() -> None:
    """3,000 users, 150 quiet seconds after the service hiccuped: within one and a half times a fresh app's time."""
    for seed in range(5):
        fresh = simulate("bucket", QUOTA, seed=seed)
        assert simulate_after_hiccups(QUOTA, seed=seed, quiet=150).seconds <= 1.5 * fresh.seconds
        # And at once, without the quiet time, no slower than one call after the other.
        assert simulate_after_hiccups(300, seed=seed, quiet=0).seconds <= 3 * simulate("bucket", 300, seed=seed).seconds


@pytest.mark.parametrize("step", [1, 7, 60, 870])
@pytest.mark.parametrize("pause", [1, 10, 150, 3600])
def test_fifteen_minutes_without_a_429_make_the_rate_whole(step: int, pause: int) -> None:
    """However often it was cut, however long the last pause, and whether anybody asked meanwhile."""
    pace, seconds = LOW, 0
    for number in range(60):
        seconds = 200 * number
        pace = replace(pace.on(at(seconds)), tokens=1500.0, used=500.0, assumed=False)
        pace = pace.throttled(sent_at=at(seconds), now=at(seconds), pause=timedelta(seconds=pause))
    assert pace.rate < 2
    for elapsed in range(0, 900, step):
        pace = pace.on(at(seconds + elapsed))
    pace = pace.on(at(seconds + 900))
    assert (pace.share, pace.tokens) == (1.0, QUOTA)


def test_under_load_a_cut_rate_waits_before_it_fades() -> None:
    """Five minutes: a limit that is really lower answers the next 429 sooner, and time alone shall not provoke one."""
    cut = LOW.throttled(sent_at=NOW, now=NOW, pause=SHORT)
    assert cut.on(at(309)).share == cut.share
    assert cut.share < cut.on(at(320)).share < 1


def test_a_long_pause_after_a_used_up_bucket_is_the_end_of_a_window() -> None:
    """The next window fills meanwhile, and the rate stays."""
    closed = LOW.throttled(sent_at=NOW, now=NOW, pause=LONG)
    assert (closed.share, closed.tokens) == (1.0, 150 + 140 * 20)
    unexpected = replace(LOW, tokens=2000.0).throttled(sent_at=NOW, now=NOW, pause=LONG)
    assert (unexpected.share, unexpected.tokens) == (CUT, 100)


def test_the_rate_regains_to_the_full_one_and_falls_to_one_a_second() -> None:
    """Slowly, item by item, and never above what is published."""
    low = LOW
    for number in range(100):
        moment = at(20 * number)
        low = replace(low, tokens=0.0, used=500.0).throttled(sent_at=moment, now=moment, pause=SHORT)
    assert low.rate == 1
    assert 1 < low.regain(100).rate < 1.2
    assert low.regain(1_000_000).rate == 20


def test_a_lower_limit_is_learnt_from_refusals_that_repeat() -> None:
    """Each call of 20 is refused although little gets through: by and by the refused ones themselves explain it."""
    pace, now = replace(Pace.start(QUOTA, NOW), assumed=False), 0.0
    for _ in range(60):
        pace = pace.on(at(now)).sent(20).throttled(sent_at=at(now), now=at(now), pause=SHORT)
        now += 11
    assert pace.rate < 5


def test_an_estimate_counts_the_burst_and_then_the_rate() -> None:
    """10,000 from a full bucket: 2,900 at once, the rest at 20 a second."""
    assert Pace.start(QUOTA, NOW).seconds_for(10_000) == (10_000 - 2_900) / 20
    assert Pace.start(QUOTA, NOW).seconds_for(100) == 0


def test_a_booked_block_is_spent_at_the_buckets_rate() -> None:
    """One batch on its way when a refusal comes, not a whole block; a small request takes what is due."""
    block, pace = replace(LOW, tokens=120.0).take(20, NOW, lane=Lane.LARGE)
    given, block = block.spend(20, pace, lane=Lane.LARGE)
    assert given == 20
    assert block.spend(20, pace.on(at(0.9)), lane=Lane.LARGE)[0] == 0
    assert block.spend(20, pace.on(at(1)), lane=Lane.LARGE)[0] == 20
    assert block.spend(1, pace.on(at(0.1)), lane=Lane.SMALL)[0] == 1


def test_a_large_request_leaves_a_small_one_the_token_fetched_for_it() -> None:
    """While its own place is not due it sends nothing, rather than a call with one user."""
    (_, place), pace = booked(replace(LOW, tokens=120.0), 2)
    small, pace = pace.take(1, NOW, lane=Lane.SMALL)
    both = place.more(small)
    assert both.spend(20, pace, lane=Lane.LARGE)[0] == 0
    assert both.spend(1, pace, lane=Lane.SMALL)[0] == 1
    assert small.more(place) == both


def test_who_sends_late_catches_up() -> None:
    """An instance that was held up spends at once what has become due meanwhile."""
    block, pace = replace(LOW, tokens=120.0).take(20, NOW, lane=Lane.LARGE)
    assert block.spend(60, pace.on(at(5)), lane=Lane.LARGE)[0] == 60


def test_a_block_of_a_full_bucket_is_a_burst() -> None:
    """As long as the bucket holds more, calls leave as fast as Graph answers."""
    block, pace = Pace.start(QUOTA, NOW).take(20, NOW, lane=Lane.LARGE)
    assert block.spend(60, pace, lane=Lane.LARGE)[0] == 60


def test_the_window_opens_with_clean_answers_and_closes_with_a_refusal() -> None:
    """Four on their way soon, eight after some three thousand users, one after a 429."""
    window, sizes = ConcurrencyLimit.of(QUOTA, QUOTA), []
    for _ in range(162):
        sizes.append(window.size)
        window = window.after_clean()
    assert (sizes[:3], sizes[41], sizes[42], window.size) == ([1, 2, 4], 4, 5, 8)
    window, after = window.after_throttled(), []
    for _ in range(22):
        after.append(window.size)
        window = window.after_clean()
    assert after == [1] * 21 + [2]


def test_a_request_larger_than_the_bucket_has_fewer_calls_on_their_way() -> None:
    """It ends no sooner for a quick burst, and all that are on their way are refused together."""
    window = ConcurrencyLimit.of(QUOTA + 1, QUOTA)
    for _ in range(41):
        window = window.after_clean()
    assert window.size == 3
    assert window.after_clean().size == 4
    window = window.after_throttled()
    for _ in range(22):
        window = window.after_clean()
    assert window.size == 3


@pytest.mark.parametrize(
    ("server", "least", "refused"),
    [
        ("bucket", 0.97, 0.005),
        ("refusals cost", 0.97, 0.005),
        ("fixed window", 0.95, 0.01),
        ("hidden limit", 0.97, 0.01),
        ("empty", 0.93, 0.005),
        ("hiccups", 0.96, 0.005),
    ],
)
def test_every_kind_of_server_is_used_to_the_full(server: str, least: float, refused: float) -> None:
    """10,000 and 100,000 users: near the bound of the server's own limit, with hardly a 429."""
    for items, seeds in ((10_000, range(5)), (100_000, range(1))):
        for outcome in (simulate(server, items, seed=seed) for seed in seeds):
            assert outcome.share_of_bound >= least
            assert outcome.refused_share <= refused


@pytest.mark.parametrize(
    ("server", "least", "refused"),
    [("bucket", 0.97, 0.005), ("fixed window", 0.95, 0.01), ("hidden limit", 0.97, 0.01), ("empty", 0.93, 0.005)],
)
def test_a_burst_that_planning_holds_up_costs_nothing(server: str, least: float, refused: float) -> None:
    """Where looking users up is slower than sending, the bucket refills meanwhile; a counting window does not."""
    for outcome in (simulate(server, 10_000, seed=seed, per_second=80) for seed in range(3)):
        assert outcome.share_of_bound >= least
        assert outcome.refused_share <= refused


def test_once_a_quota_is_spent_only_as_many_calls_leave_as_the_rate_needs() -> None:
    """All that are on their way are refused together when a counting window ends."""
    fresh = Pace.start(QUOTA, NOW)
    spent = replace(fresh, tokens=900.0, spent=2_800.0)
    assert fresh.most_calls(0.35, 20) == 8
    assert spent.most_calls(0.35, 20) == 1
    # As a call seems to take when the clock is set back meanwhile: with none, nothing would ever measure another one.
    assert spent.most_calls(-100, 20) == 1
    assert replace(spent, quota=30_000, spent=28_000.0).most_calls(0.35, 20) == 4
    assert spent.on(at(150)).most_calls(0.35, 20) == 8


def test_every_server_is_in_the_table_above() -> None:
    """A server added to the simulation gets its bars."""
    assert set(SERVERS) == {"bucket", "refusals cost", "fixed window", "hidden limit", "empty", "hiccups"}
