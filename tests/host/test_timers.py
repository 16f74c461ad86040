from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from local.host.timers import next_moment

if TYPE_CHECKING:
    from conftest import Begin
    from sample_host import SampleHost

TUESDAY = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)


async def test_a_timer_runs_and_never_twice_at_once(begin: Begin) -> None:
    """A run that takes longer than the pause makes the next moment be skipped."""
    host = await begin(TICK="* * * * * *")
    notes = (await host.noted(5, function="tick"))[:5]
    assert [note["state"] for note in notes] == ["begun", "done", "begun", "done", "begun"]
    assert notes[0]["past_due"] is False
    assert datetime.fromisoformat(notes[0]["next"]).timestamp() > notes[0]["at"] - 1


async def test_the_master_key_runs_a_timer_out_of_turn(host: SampleHost) -> None:
    """As the real host's admin route does: 202, and 404 for a name that is no timer."""
    master = {"x-functions-key": "the-master-key"}
    assert (await host.call("POST", "/admin/functions/tick")).status == 401
    assert (await host.call("POST", "/admin/functions/tick", headers=master)).status == 202
    assert (await host.call("POST", "/admin/functions/nothing", headers=master)).status == 404
    await host.noted(function="tick", state="done")


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ("*/30 * * * * *", timedelta(seconds=30)),
        ("0 */5 * * * *", timedelta(minutes=5)),
        ("15 30 13 * * *", timedelta(hours=1, minutes=30, seconds=15)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("00:00:10", timedelta(seconds=10)),
        ("1.00:00:00", timedelta(days=1)),
        ("0 0 0 13 * 5", datetime(2026, 11, 13, tzinfo=UTC) - TUESDAY),
    ],
)
def test_schedules_are_ncrontab_or_time_spans(schedule: str, after: timedelta) -> None:
    """Seconds first; day of month and day of week must both fit (Friday the 13th); a time span is a pause."""
    assert next_moment(schedule, TUESDAY) - TUESDAY == after
