from datetime import UTC, datetime, timedelta

import pytest

from revoke_core.domain.timestamps import http_date, parsed, retry_after, written

NOW = datetime(2026, 9, 10, 14, 32, 27, 459123, tzinfo=UTC)


def test_times_are_written_with_milliseconds_and_z() -> None:
    """One form everywhere, that sorts as text."""
    assert written(NOW) == "2026-09-10T14:32:27.459Z"
    assert parsed(written(NOW)) == NOW.replace(microsecond=459000)


@pytest.mark.parametrize(
    "text", ["2026-09-10", "2026-09-10T14:32:27", "yesterday", "", "2026-13-10T14:32:27Z", "0001-01-01T00:00:00+01:00"]
)
def test_a_time_without_a_zone_is_refused(text: str) -> None:
    """The app does not guess whose midnight was meant."""
    with pytest.raises(ValueError, match=r".+"):
        parsed(text)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 10),
        ("2.128", 2.128),
        ("0", 0),
        ("10,10", 10),
        ("-5", 0),
        ("Thu, 10 Sep 2026 14:32:57 GMT", 29.540877),
        ("Thu, 10 Sep 2026 14:00:00 GMT", 0),
    ],
)
def test_every_form_of_retry_after_is_read(header: str, seconds: float) -> None:
    """Whole, fractional, doubled, as a date, in the past."""
    pause = retry_after(header, NOW)
    assert pause is not None
    assert pause.total_seconds() == pytest.approx(seconds)


NO_TIMES = [
    "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Thu, 10 Sep 2026 99999999999999:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 -0500",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 10 Sep 2026 14:32:57 +99999999999999",
]


@pytest.mark.parametrize(
    "header", [None, "", "soon", "nan", "inf", "1e400", "Thu, 99 Sep 2026 14:32:57 GMT", *NO_TIMES]
)
def test_an_unreadable_retry_after_is_none_or_bounded(header: str | None) -> None:
    """Nonsense never becomes a crash or an endless wait."""
    pause = retry_after(header, NOW)
    assert pause is None or pause <= timedelta(days=7)


def test_the_longest_pause_is_bounded() -> None:
    """A header of a year does not put the app to sleep for a year."""
    assert retry_after("31536000", NOW) == timedelta(days=7)


@pytest.mark.parametrize("header", [None, "", "soon", "nan", "Thu, 99 Sep 2026 14:32:57 GMT", *NO_TIMES])
def test_a_date_that_is_no_time_is_none(header: str | None) -> None:
    """Nor does one that nothing could be added to."""
    assert http_date(header) is None
    assert http_date("Thu, 10 Sep 2026 14:32:57 +0200") == datetime(2026, 9, 10, 12, 32, 57, tzinfo=UTC)
