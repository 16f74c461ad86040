from datetime import timedelta

import pytest

from revoke_core.domain.errors import InvalidRequest
from revoke_core.entrypoints.http.call import HttpCall, Preference, Query, preference

DEFAULT = timedelta(seconds=20)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("wait=7", Preference(timedelta(seconds=7), "wait=7")),
        ('foo, WAIT = "007"', Preference(timedelta(seconds=7), "wait=7")),
        ("wait=7, respond-async", Preference(None, "respond-async")),
        *((f"wait={value}", Preference(DEFAULT)) for value in ("0", "101", "-1", "1.5", "", "x", "٣", "9" * 5000)),
        (f"wait={'0' * 5000}7", Preference(timedelta(seconds=7), "wait=7")),
    ],
)
def test_a_preference_is_followed_or_ignored(header: str, expected: Preference) -> None:
    """Never an error: a preference that cannot be followed gets the default (RFC 7240)."""
    assert preference(HttpCall(headers={"prefer": header}), DEFAULT) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("pageSize", value) for value in ("0", "1001", "-1", "1.0", "x", "٣", "9" * 5000)),
        *(
            ("since", value)
            for value in ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z")
        ),
    ],
)
def test_a_parameter_out_of_range_is_named(name: str, value: str) -> None:
    """It is a fault of the query, never of the app."""
    query = Query(HttpCall(query={name: value}))
    query.page_size()
    query.timestamp("since")
    with pytest.raises(InvalidRequest) as refused:
        query.check()
    assert [fault.pointer for fault in refused.value.faults] == [f"/{name}"]
