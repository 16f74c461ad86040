"""The asyncio tasks of one worker that run side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Tasks:
    """Tasks side by side; the first failure of one is raised by ``collect``."""

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
        """Drop what is done; raises what one of them raised."""
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            task.result()

    async def wait(self, seconds: float) -> None:
        """Wait until one is done, or so long."""
        await asyncio.wait(self._running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def drain(self) -> None:
        """Wait until all are done, whatever they raise: a call that is broken off leaves its users ambiguous."""
        while self._running:
            done, self._running = await asyncio.wait(self._running)
            for task in done:
                task.exception()
