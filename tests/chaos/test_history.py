from typing import Any

import pytest

from local.chaos.history import Findings, Sampler, Story, judged

BEGUN = "2026-09-10T14:32:27.000Z"
LATER = "2026-09-10T14:32:28.000Z"
PEOPLE = [f"user-{number}" for number in range(3)]
GUARDED = "user-guarded"


def served(identity: str, at: str = LATER, status: int = 200) -> dict[str, Any]:
    return {"userId": identity, "at": at, "status": status}


def row(place: int, identity: str, status: str = "verified") -> dict[str, Any]:
    return {"RowKey": f"{place:07d}", "UserId": identity, "Status": status}


def request(**columns: Any) -> dict[str, Any]:
    counts = {"CountsTotal": 4, "CountsVerified": 3, "CountsSkipped": 1}
    return {"RequestedAt": BEGUN, "Status": "partiallySucceeded"} | counts | columns


def story(**changes: Any) -> Findings:
    """A story without a fault, but for the changes."""
    whole: dict[str, Any] = {
        "asked": frozenset(PEOPLE),
        "protected": frozenset({GUARDED}),
        "requests": [request()],
        "rows": [*(row(place, name) for place, name in enumerate(PEOPLE)), row(3, GUARDED, "skipped")],
        "served": [served(name) for name in PEOPLE],
    }
    return judged(Story(**(whole | changes)))


def with_row(place: int, identity: str, status: str) -> list[dict[str, Any]]:
    rows = [*(row(number, name) for number, name in enumerate(PEOPLE)), row(3, GUARDED, "skipped")]
    rows[place] = row(place, identity, status)
    return rows


def test_a_story_that_fits_has_no_fault() -> None:
    """What really is as promised is not accused."""
    assert story() == Findings()
    refused = [served(PEOPLE[0], status=429), *(served(name) for name in PEOPLE)]
    assert story(served=refused) == Findings()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"requests": []}, "0 requests stand for one"),
        ({"requests": [request(), request()]}, "2 requests stand for one"),
        ({"requests": [request(Status="running")]}, "the request has no last word"),
        ({"rows": with_row(1, PEOPLE[1], "failed")}, "not verified: 1 failed"),
        ({"rows": [row(9, "user-stranger"), *with_row(0, PEOPLE[0], "verified")]}, "1 users have a row and were not"),
        ({"rows": [row(9, PEOPLE[0]), *with_row(0, PEOPLE[0], "verified")]}, "1 users have more than one row"),
        ({"served": [served(name) for name in PEOPLE[1:]]}, "1 rows claim a revoke that Graph never carried out"),
        ({"rows": with_row(1, PEOPLE[1], "failed")}, "1 revokes of Graph stand in no row"),
        ({"served": [served(name, at="2026-09-10T14:32:26.999Z") for name in PEOPLE]}, "before the request was made"),
        ({"served": [served(GUARDED), *(served(name) for name in PEOPLE)]}, f"protected user {GUARDED} was sent"),
        ({"rows": with_row(3, GUARDED, "verified")}, f"protected user {GUARDED} is not skipped"),
        ({"requests": [request(CountsVerified=2)]}, "counts differ from the rows: verified 2 for 3"),
        ({"requests": [request(CountsTotal=5)]}, "the total differs from the rows"),
        ({"changes": ["row 1 went back"]}, "row 1 went back"),
    ],
)
def test_a_broken_story_is_recognised(changes: dict[str, Any], told: str) -> None:
    """Each promise has its witness: a deliberately broken history is told as what it is."""
    assert any(told in fault for fault in story(**changes).faults), story(**changes).faults


@pytest.mark.parametrize("status", ["pending", "revoked"])
def test_a_user_without_a_last_word_is_lost(status: str) -> None:
    """An unproven revoke is not an end either."""
    found = story(rows=with_row(2, PEOPLE[2], status))
    assert (found.lost, bool(found.faults)) == (1, True)


def test_a_user_without_a_row_is_lost() -> None:
    """Nothing at all is the worst way to lose somebody."""
    assert story(rows=with_row(0, PEOPLE[0], "verified")[1:]).lost == 1


@pytest.mark.parametrize(("again", "kills", "bad"), [(1, 0, True), (20, 1, False), (21, 1, True), (40, 2, False)])
def test_duplicates_are_forgiven_up_to_one_batch_for_each_kill(again: int, kills: int, *, bad: bool) -> None:
    """20 for a host that was killed, none for one that was stopped."""
    names = [f"user-{number}" for number in range(60)]
    rows = [*(row(place, name) for place, name in enumerate(names)), row(99, GUARDED, "skipped")]
    found = story(
        asked=frozenset(names),
        rows=rows,
        requests=[request(CountsTotal=61, CountsVerified=60)],
        served=[served(name) for name in [*names, *names[:again]]],
        kills=kills,
    )
    assert (found.duplicates, bool(found.faults)) == (again, bad)


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (row(1, "a", "verified"), row(1, "a", "revoked"), "row 0000001 went back from verified to revoked"),
        (row(1, "a", "revoked"), row(1, "a", "pending"), "row 0000001 went back from revoked to pending"),
        (row(1, "a", "failed"), row(1, "a", "verified"), "row 0000001 changed after its last word"),
        (row(1, "a", "verified"), row(1, "a", "verified") | {"Attempts": 2}, "row 0000001 changed after its last word"),
    ],
)
def test_a_row_that_may_not_change_is_noticed(first: dict[str, Any], then: dict[str, Any], told: str) -> None:
    """A last word is the last one, in every column, and told once."""
    sampler = Sampler()
    for rows in ([first], [then], [first], [then]):
        sampler.look(rows)
    assert sampler.changes == [told]


def test_a_row_that_goes_missing_is_noticed() -> None:
    """The log only grows."""
    sampler = Sampler()
    sampler.look([row(1, "a"), row(2, "b")])
    sampler.look([row(1, "a")])
    assert sampler.changes == ["row 0000002 is gone"]


def test_rows_on_their_way_are_left_in_peace() -> None:
    """Going forward is what they are for."""
    sampler = Sampler()
    for status in ("pending", "pending", "revoked", "verified", "verified"):
        sampler.look([row(1, "a", status)])
    assert sampler.changes == []
