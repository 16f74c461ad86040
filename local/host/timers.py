"""Timer triggers: NCRONTAB with seconds or a time span, never two runs of one timer at once."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from croniter import CroniterError, croniter

from local.host.messages import TypedData
from local.host.options import filled, seconds
from local.host.runtime import AppFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.host.invoker import Invoker
    from local.host.runtime import Function

_LOG: Final = logging.getLogger("host.timer")
_FIELDS_WITHOUT_SECONDS: Final = 5


class Timer:
    """One timer of an app."""

    def __init__(self, *, function: Function, invoker: Invoker, environment: Mapping[str, str]) -> None:
        self.name = function.name
        self.schedule = filled(function.trigger["schedule"], environment)
        self._function = function
        self._invoker = invoker
        self._one_at_a_time = asyncio.Lock()
        self._runs: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._last = datetime.now(UTC)
        try:
            next_moment(self.schedule, self._last)
        except (ValueError, CroniterError) as problem:
            raise AppFailedError(f"The schedule of {self.name} is not one: {problem}") from problem

    def start(self) -> None:
        """Begin to wait for the next moment."""
        self._loop = asyncio.create_task(self._repeat())

    def stop(self) -> None:
        """Start no more runs; one under way goes on."""
        if self._loop:
            self._loop.cancel()

    async def finish(self) -> None:
        """Wait for the run under way."""
        while self._runs:
            await asyncio.gather(*self._runs, return_exceptions=True)

    def run_now(self, reason: str) -> asyncio.Task[None]:
        """Run out of turn, after a run that is under way."""
        run = asyncio.create_task(self._run(reason))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return run

    async def _repeat(self) -> None:
        if self._function.trigger.get("runOnStartup"):
            await asyncio.shield(self.run_now("Timer fired at startup"))
        due = datetime.now(UTC)
        while True:
            # From the moment that was due, for a sleep may end a little early; moments missed meanwhile are skipped.
            due = next_moment(self.schedule, max(due, datetime.now(UTC)))
            await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            await asyncio.shield(self.run_now("Timer fired"))

    async def _run(self, reason: str) -> None:
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            status = {
                "Last": self._last.isoformat(),
                "Next": next_moment(self.schedule, now).isoformat(),
                "LastUpdated": self._last.isoformat(),
            }
            self._last = now
            timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
            await self._invoker.invoke(self._function, TypedData(json=json.dumps(timer)), reason=reason)


def next_moment(schedule: str, now: datetime) -> datetime:
    """When a schedule is due next (UTC); ``ValueError`` or ``CroniterError`` when it is none."""
    if ":" in schedule:
        return now + timedelta(seconds=seconds(schedule))
    fields = schedule.split()
    if len(fields) == _FIELDS_WITHOUT_SECONDS:
        fields.insert(0, "0")
    # NCRONTAB requires day of month and day of week to match, where cron requires only one of them.
    moment: datetime = croniter(" ".join(fields), now, second_at_beginning=True, day_or=False).get_next(datetime)
    return moment
