"""Child processes that end with their parent and say when they are ready in one JSON line."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 40.0
_LINE_LIMIT: Final = 1024 * 1024


class ChildFailedError(RuntimeError):
    """A child ended, or did not get ready in time; the message has its last lines."""


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, even by ``kill -9``; elsewhere there is no such call."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(kw_only=True)
class Child:
    """One running child; ``ready`` is what it printed, ``tail`` its latest lines of log."""

    name: str
    process: asyncio.subprocess.Process
    ready: dict[str, Any] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self.process.pid

    async def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Signal the child and wait for its end; killed when it does not come. Returns its exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signum)
            try:
                await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await asyncio.gather(*self.readers, return_exceptions=True)
        return self.process.returncode or 0

    def failure(self, what: str) -> ChildFailedError:
        """An error with the child's last lines."""
        return ChildFailedError("\n".join([f"{self.name} {what}; its last lines:", *self.tail]))


async def start(
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    seconds: float = 60.0,
) -> Child:
    """Start ``python -m local …`` and return once it has printed its JSON line; ``ChildFailedError`` otherwise."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "local",
        *arguments,
        cwd=ROOT,
        env=dict(environment) if environment is not None else os.environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        preexec_fn=die_with_parent,
    )
    child = Child(name=name, process=process)
    child.readers.append(asyncio.create_task(_follow(process.stderr, child.tail, on_line)))
    try:
        line = await asyncio.wait_for(_first_line(process), seconds)
    except TimeoutError:
        await child.stop(signal.SIGKILL)
        raise child.failure(f"was not ready within {seconds:.0f} s") from None
    if not line:
        await child.process.wait()
        await asyncio.gather(*child.readers)
        raise child.failure(f"ended with code {process.returncode} before it was ready")
    child.ready = json.loads(line)
    child.readers.append(asyncio.create_task(_follow(process.stdout, child.tail, on_line)))
    return child


async def _first_line(process: asyncio.subprocess.Process) -> bytes:
    return await process.stdout.readline() if process.stdout else b""


async def _follow(stream: asyncio.StreamReader | None, tail: deque[str], on_line: Callable[[str], None] | None) -> None:
    while stream and (line := await stream.readline()):
        text = line.decode(errors="replace").rstrip()
        tail.append(text)
        if on_line:
            on_line(text)


async def stop_requested() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    await stopped.wait()
