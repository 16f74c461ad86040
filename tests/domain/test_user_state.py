from dataclasses import replace
from datetime import UTC, datetime, timedelta

from revoke_core.domain.responses import Ambiguity
from revoke_core.domain.schedules import growing_pause
from revoke_core.domain.user_state import UserRow, UserStatus, has_moved, next_read, settles

SENT = datetime(2026, 9, 10, 14, 32, 27, 900000, tzinfo=UTC)
LOST = UserRow(position=1, given="x", sent_at=SENT)
REVOKED = UserRow(position=1, given="x", sent_at=SENT, status=UserStatus.REVOKED)


def at(seconds: float) -> datetime:
    return SENT + timedelta(seconds=seconds)


def test_a_lost_answer_is_read_after_1_5_30_and_120_seconds() -> None:
    """Only when the last of these reads saw nothing may the call be sent again."""
    seen, last = [], None
    while (moment := next_read(LOST, last)) is not None:
        seen.append((moment - SENT).total_seconds())
        last = moment
    assert seen == [1, 5, 30, 120]


def test_only_graphs_own_unavailable_is_read_once() -> None:
    """Every other doubt, a crash and a server error included, lasts as long as a replica may lag behind."""
    for ambiguity in Ambiguity:
        reads = 1 if ambiguity is Ambiguity.UNAVAILABLE else 4
        row, last, seen = replace(LOST, ambiguity=ambiguity), None, 0
        while (last := next_read(row, last)) is not None:
            seen += 1
        assert seen == reads, ambiguity


def test_whoever_takes_over_late_reads_once_and_goes_on() -> None:
    """A worker that comes after two minutes need not wait through the whole schedule again."""
    assert next_read(LOST, None) == at(1)
    assert next_read(LOST, at(121)) is None


def test_proof_is_looked_for_during_ten_minutes() -> None:
    """Replication may take minutes; after ten the user is unverified."""
    assert next_read(REVOKED, None) == at(0)
    assert next_read(REVOKED, at(599)) == at(600)
    assert next_read(REVOKED, at(600)) is None


def test_whole_seconds_and_five_seconds_of_skew_still_prove() -> None:
    """Graph cuts fractions off, and clocks differ a little."""
    assert has_moved(REVOKED, SENT.replace(microsecond=0))
    assert has_moved(REVOKED, SENT.replace(microsecond=0) - timedelta(seconds=5))
    assert not has_moved(REVOKED, SENT.replace(microsecond=0) - timedelta(seconds=6))
    assert not has_moved(REVOKED, None)


def test_a_cut_off_that_stood_before_settles_nothing() -> None:
    """Another request may have moved it a moment earlier: that does not show that this call arrived."""
    before = SENT.replace(microsecond=0) - timedelta(seconds=2)
    row = replace(LOST, valid_from_before=before)
    assert not settles(row, before)
    assert settles(row, SENT.replace(microsecond=0))


def test_pauses_grow_to_five_minutes() -> None:
    """An outage is asked after ever more rarely."""
    assert [growing_pause(n).total_seconds() for n in (1, 2, 3, 9, 50)] == [1, 2, 4, 256, 300]
