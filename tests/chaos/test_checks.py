from typing import Any

import pytest

from local.chaos.checks import Findings, RowHistory, RunRecord, check_run

BEGUN = "2026-09-10T14:32:27.000Z"
LATER = "2026-09-10T14:32:28.000Z"
PEOPLE = [f"user-{number}" for number in range(3)]
PROTECTED = "user-protected"


def served(identity: str, at: str = LATER, status: int = 200) -> dict[str, Any]:
    return {"userId": identity, "at": at, "status": status}


def row(place: int, identity: str, status: str = "verified") -> dict[str, Any]:
    return {"RowKey": f"{place:07d}", "UserId": identity, "Status": status}


def request(**columns: Any) -> dict[str, Any]:
    counts = {"CountsTotal": 4, "CountsVerified": 3, "CountsSkipped": 1}
    return {"RequestedAt": BEGUN, "Status": "partiallySucceeded"} | counts | columns


def checked(**changes: Any) -> Findings:
    """A run without a fault, but for the changes."""
    whole: dict[str, Any] = {
        "asked": frozenset(PEOPLE),
        "protected": frozenset({PROTECTED}),
        "requests": [request()],
        "rows": [*(row(place, name) for place, name in enumerate(PEOPLE)), row(3, PROTECTED, "skipped")],
        "served": [served(name) for name in PEOPLE],
    }
    return check_run(RunRecord(**(whole | changes)))


def with_row(place: int, identity: str, status: str) -> list[dict[str, Any]]:
    rows = [*(row(number, name) for number, name in enumerate(PEOPLE)), row(3, PROTECTED, "skipped")]
    rows[place] = row(place, identity, status)
    return rows


def test_a_run_that_kept_every_promise_has_no_fault() -> None:
    """The checks report nothing where nothing is wrong."""
    assert checked() == Findings()
    refused = [served(PEOPLE[0], status=429), *(served(name) for name in PEOPLE)]
    assert checked(served=refused) == Findings()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"requests": []}, "0 requests stand for one"),
        ({"requests": [request(), request()]}, "2 requests stand for one"),
        ({"requests": [request(Status="running")]}, "the request has no final status"),
        ({"rows": with_row(1, PEOPLE[1], "failed")}, "not verified: 1 failed"),
        ({"rows": [row(9, "user-stranger"), *with_row(0, PEOPLE[0], "verified")]}, "1 users have a row and were not"),
        ({"rows": [row(9, PEOPLE[0]), *with_row(0, PEOPLE[0], "verified")]}, "1 users have more than one row"),
        ({"served": [served(name) for name in PEOPLE[1:]]}, "1 rows claim a revoke that Graph never carried out"),
        ({"rows": with_row(1, PEOPLE[1], "failed")}, "1 revokes of Graph stand in no row"),
        ({"served": [served(name, at="2026-09-10T14:32:26.999Z") for name in PEOPLE]}, "before the request was made"),
        ({"served": [served(PROTECTED), *(served(name) for name in PEOPLE)]}, f"protected user {PROTECTED} was sent"),
        ({"rows": with_row(3, PROTECTED, "verified")}, f"protected user {PROTECTED} is not skipped"),
        ({"requests": [request(CountsVerified=2)]}, "counts differ from the rows: verified 2 for 3"),
        ({"requests": [request(CountsTotal=5)]}, "the total differs from the rows"),
        ({"changes": ["row 1 went back"]}, "row 1 went back"),
    ],
)
def test_a_broken_promise_is_recognised(changes: dict[str, Any], expected: str) -> None:
    """Each promise has its check: a record that breaks one is reported as just that."""
    assert any(expected in fault for fault in checked(**changes).faults), checked(**changes).faults


@pytest.mark.parametrize("status", ["pending", "revoked"])
def test_a_user_without_a_final_status_is_lost(status: str) -> None:
    """An unproven revoke is not an end either."""
    found = checked(rows=with_row(2, PEOPLE[2], status))
    assert (found.lost, bool(found.faults)) == (1, True)


def test_a_user_without_a_row_is_lost() -> None:
    """A user who was asked for and has no row counts as lost."""
    assert checked(rows=with_row(0, PEOPLE[0], "verified")[1:]).lost == 1


@pytest.mark.parametrize(
    ("again", "kills", "lag", "bad"),
    [(1, 0, 0, True), (20, 1, 0, False), (21, 1, 0, True), (21, 1, 120, True), (21, 1, 150, False), (40, 2, 0, False)],
)
def test_duplicates_are_allowed_up_to_one_batch_for_each_kill(again: int, kills: int, lag: float, *, bad: bool) -> None:
    """20 for a host that was killed, none for one that was stopped; more only where no read could have told."""
    names = [f"user-{number}" for number in range(60)]
    rows = [*(row(place, name) for place, name in enumerate(names)), row(99, PROTECTED, "skipped")]
    found = checked(
        asked=frozenset(names),
        rows=rows,
        requests=[request(CountsTotal=61, CountsVerified=60)],
        served=[served(name) for name in [*names, *names[:again]]],
        kills=kills,
        lag=lag,
    )
    assert (found.duplicates, bool(found.faults)) == (again, bad)


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (row(1, "a", "verified"), row(1, "a", "revoked"), "row 0000001 went back from verified to revoked"),
        (row(1, "a", "revoked"), row(1, "a", "pending"), "row 0000001 went back from revoked to pending"),
        (row(1, "a", "failed"), row(1, "a", "verified"), "row 0000001 changed after its final status"),
        (
            row(1, "a", "verified"),
            row(1, "a", "verified") | {"Attempts": 2},
            "row 0000001 changed after its final status",
        ),
    ],
)
def test_a_forbidden_change_of_a_row_is_reported(first: dict[str, Any], then: dict[str, Any], expected: str) -> None:
    """A final status is the last one, in every column, and the fault is reported once."""
    history = RowHistory()
    for rows in ([first], [then], [first], [then]):
        history.observe(rows)
    assert history.changes == [expected]


def test_a_row_that_goes_missing_is_reported() -> None:
    """Rows are only added."""
    history = RowHistory()
    history.observe([row(1, "a"), row(2, "b")])
    history.observe([row(1, "a")])
    assert history.changes == ["row 0000002 is gone"]


def test_a_row_that_moves_forward_is_no_fault() -> None:
    """Pending, revoked, verified is the normal way of a user."""
    history = RowHistory()
    for status in ("pending", "pending", "revoked", "verified", "verified"):
        history.observe([row(1, "a", status)])
    assert history.changes == []
