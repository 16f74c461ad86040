"""What one worker has under way at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Tasks:
    """Tasks side by side; the first failure of one is raised where they are waited for."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._running)

    def spawn[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start one more."""
        task = asyncio.create_task(work)
        self._running.add(task)
        return task

    def collect(self) -> None:
        """Forget what is done; raises what one of them raised."""
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            task.result()

    async def wait(self, seconds: float) -> None:
        """Until one is done, or so long."""
        await asyncio.wait(self._running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def landed(self) -> None:
        """Until all are done, whatever becomes of them: a call that is broken off leaves its users in doubt."""
        while self._running:
            done, self._running = await asyncio.wait(self._running)
            for task in done:
                task.exception()
