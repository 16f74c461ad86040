"""Time as it is written: RFC 3339 UTC with milliseconds, and the two HTTP forms of a pause."""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")
_LONGEST_PAUSE: Final = timedelta(days=7)


def written(moment: datetime) -> str:
    """``2026-09-10T14:32:27.459Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed(text: str) -> datetime:
    """The moment an RFC 3339 text names, in UTC; ``ValueError`` for any other text."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"not an RFC 3339 time with a zone: {text!r}")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"not a time that UTC can express: {text!r}") from None


def parsed_or_none(text: str | None) -> datetime | None:
    """As ``parsed``, for a column or property that may be absent or damaged."""
    try:
        return parsed(text) if text else None
    except ValueError:
        return None


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The pause a ``Retry-After`` header asks for: whole or fractional seconds, or an HTTP date.

    ``None`` when there is no header or it cannot be read; never negative, never above seven days.
    """
    if not value:
        return None
    first = value.split(",")[0].strip() if re.match(r"\s*[\d.]+\s*,", value) else value.strip()
    try:
        pause = timedelta(seconds=float(first))
    except (ValueError, OverflowError):
        try:
            pause = parsedate_to_datetime(first) - now
        except (TypeError, ValueError, OverflowError):
            return None
    return max(timedelta(0), min(pause, _LONGEST_PAUSE))


def http_date(value: str | None) -> datetime | None:
    """The moment of a ``Date`` header (whole seconds), or ``None``; a date in the last year could not be added to."""
    if not value:
        return None
    try:
        moment = parsedate_to_datetime(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return moment if moment.year < MAXYEAR else None
