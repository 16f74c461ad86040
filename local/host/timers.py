"""Timer triggers: NCRONTAB with six fields (seconds first) or a time span, never two runs of one timer at once."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from croniter import croniter

from local.host.messages import TypedData
from local.host.options import filled, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.host.runtime import Function, Runtime

_LOG: Final = logging.getLogger("host.timer")


class Timers:
    """Runs an app's timers until they are stopped."""

    def __init__(self, *, runtime: Runtime, environment: Mapping[str, str]) -> None:
        self._runtime = runtime
        self._environment = environment
        self._timers = {function.name: function for function in runtime.functions if function.kind == "timerTrigger"}
        self._loops: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to wait for every timer's next moment."""
        self._loops = [asyncio.create_task(self._repeat(function)) for function in self._timers.values()]

    async def stop(self) -> None:
        """Start no more runs; those under way go on to their end."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, *self._running.values(), return_exceptions=True)

    def run_now(self, name: str) -> bool:
        """Run a timer out of turn; ``False`` when there is no such timer."""
        function = self._timers.get(name)
        if function and name not in self._running:
            self._begin(function)
        return function is not None

    def _begin(self, function: Function) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(function))
        self._running[function.name] = task
        task.add_done_callback(lambda _: self._running.pop(function.name, None))
        return task

    async def _repeat(self, function: Function) -> None:
        schedule = filled(function.trigger["schedule"], self._environment)
        if function.trigger.get("runOnStartup"):
            await asyncio.shield(self._begin(function))
        while True:
            now = datetime.now(UTC)
            await asyncio.sleep((next_moment(schedule, now) - now).total_seconds())
            if function.name not in self._running:
                await asyncio.shield(self._begin(function))

    async def _run(self, function: Function) -> None:
        timer = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
        outcome = await self._runtime.call(function, TypedData(json=json.dumps(timer)))
        if not outcome.ok:
            _LOG.error("Functions.%s failed: %s", function.name, outcome.error)


def next_moment(schedule: str, now: datetime) -> datetime:
    """When a schedule is due next."""
    if schedule.count(":") == 2:  # noqa: PLR2004 -- hh:mm:ss has two colons
        return now + timedelta(seconds=seconds(schedule))
    moment: datetime = croniter(schedule, now, second_at_beginning=True).get_next(datetime)
    return moment
