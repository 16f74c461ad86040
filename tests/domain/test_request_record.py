import pytest

from revoke_core.domain.request_record import RequestStatus, final_status
from revoke_core.domain.user_state import Counts, UserRow, UserStatus, moves_of


@pytest.mark.parametrize(
    ("counts", "excluded", "status"),
    [
        (Counts(total=2, verified=2), 0, "succeeded"),
        (Counts(total=2, verified=1, revoked=1), 0, "succeeded"),
        (Counts(total=2, verified=1, skipped=1), 1, "succeeded"),
        (Counts(total=2, verified=1, skipped=1), 0, "partiallySucceeded"),
        (Counts(total=2, verified=1, failed=1), 0, "partiallySucceeded"),
        (Counts(total=2, failed=2), 0, "failed"),
        (Counts(total=1, skipped=1), 0, "failed"),
        (Counts(total=1, skipped=1), 1, "failed"),
        (Counts(), 0, "failed"),
    ],
)
def test_the_final_status_never_flatters(counts: Counts, excluded: int, status: str) -> None:
    """Succeeded means every user but those whom the caller excluded."""
    assert final_status(counts, excluded=excluded, dry_run=False) == status


def test_a_dry_run_ends_as_planned() -> None:
    """Nothing was revoked, so it is neither a success nor a failure."""
    assert final_status(Counts(total=1, planned=1), excluded=0, dry_run=True) is RequestStatus.PLANNED


@pytest.mark.parametrize("counts", [Counts(total=2, verified=1, skipped=1), Counts(total=2, skipped=2)])
def test_a_cancellation_that_kept_users_is_the_final_status(counts: Counts) -> None:
    """Whatever came of the others; one that came too late for every user changes nothing."""
    kept = final_status(counts, excluded=0, dry_run=False, cancelled=1)
    assert kept is RequestStatus.CANCELLED
    assert final_status(counts, excluded=0, dry_run=True, cancelled=1) is RequestStatus.CANCELLED
    late = final_status(Counts(total=2, verified=2), excluded=0, dry_run=False, cancelled=0)
    assert late is RequestStatus.SUCCEEDED


def test_counts_move_with_the_rows_and_keep_their_sum() -> None:
    """Whatever happens to rows, the counts are the rows."""
    rows = [UserRow(position=position, given="x") for position in (1, 2, 3)]
    counts = Counts(duplicates=4).plus(moves_of((None, row) for row in rows))
    after = [rows[0].ended(UserStatus.VERIFIED), rows[1].ended(UserStatus.FAILED)]
    moved = counts.plus(moves_of(zip(rows[:2], after, strict=True)))
    assert (moved.total, moved.pending, moved.verified, moved.failed, moved.duplicates) == (3, 1, 1, 1, 4)
