"""Child processes that end with their parent and print one JSON line when they are ready.

The kit itself, its tests and the demonstration start parts with `start` and end them with `Child.stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
_TETHER: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")))
_STOP_SECONDS: Final = 40.0
_LINE_LIMIT: Final = 1024 * 1024
_TAIL_LINES: Final = 40


class ChildFailedError(RuntimeError):
    """A child ended, or did not get ready in time; the message has its last lines."""


@dataclass(kw_only=True)
class Child:
    """One running child; ``ready`` is what it printed, ``tail`` its latest lines of log."""

    name: str
    process: asyncio.subprocess.Process
    end_signal: signal.Signals = signal.SIGTERM
    ready: dict[str, Any] = field(default_factory=dict)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self.process.pid

    async def stop(self, signum: signal.Signals | None = None) -> int:
        """Signal the child and wait for its end; killed when it does not come in 40 s. Returns its exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signum or self.end_signal)
            try:
                await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await asyncio.gather(*self.readers, return_exceptions=True)
        return self.process.returncode or 0

    async def ended(self) -> ChildFailedError:
        """Wait until the child ends by itself; the error has its exit code and last lines."""
        code = await self.process.wait()
        await asyncio.gather(*self.readers, return_exceptions=True)
        return self.failure(f"ended with code {code}")

    def failure(self, what: str) -> ChildFailedError:
        """An error with the child's last lines."""
        return ChildFailedError("\n".join([f"{self.name} {what}; its last lines:", *self.tail]))

    def follow(self, stream: asyncio.StreamReader | None, on_line: Callable[[str], None] | None = None) -> None:
        """Keep reading a stream, so that the child never blocks on a full pipe."""
        self.readers.append(asyncio.create_task(self._read_lines(stream, on_line)))

    async def _read_lines(self, stream: asyncio.StreamReader | None, on_line: Callable[[str], None] | None) -> None:
        while stream:
            try:
                line = await stream.readline()
            except ValueError:
                continue  # a line above the limit, which is dropped
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self.tail.append(text)
            if on_line:
                on_line(text)


async def spawn(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    end_signal: signal.Signals = signal.SIGTERM,
) -> Child:
    """Start any command, tied to this process; the caller reads its standard output.

    ``end_signal`` is what the command gets when it is to end, or when this process dies.
    """
    process = await asyncio.create_subprocess_exec(
        *_TETHER,
        str(os.getpid()),
        str(int(end_signal)),
        *command,
        env=dict(os.environ if environment is None else environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        # A Ctrl+C in the terminal goes to the parent alone, which ends its children in the right order.
        process_group=0,
    )
    return Child(name=name, process=process, end_signal=end_signal)


async def start(
    name: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    seconds: float = 60.0,
) -> Child:
    """Start ``python -m local ARGUMENTS`` and return once it has printed its JSON line.

    ``environment`` replaces this process's own; ``on_line`` gets every line of log. ``ChildFailedError`` when the child
    ends first or is not ready within ``seconds``: nothing is left running then.
    """
    environment = dict(os.environ if environment is None else environment)
    # The child finds this package wherever the caller stands.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    child = await spawn(name, [sys.executable, "-m", "local", *arguments], environment=environment)
    child.follow(child.process.stderr, on_line)
    try:
        child.ready = await asyncio.wait_for(_ready(child), seconds)
    except TimeoutError:
        await child.stop(signal.SIGKILL)
        raise child.failure(f"was not ready within {seconds:.0f} s") from None
    except BaseException:
        await child.stop()
        raise
    child.follow(child.process.stdout, on_line)
    return child


async def _ready(child: Child) -> dict[str, Any]:
    line = await child.process.stdout.readline() if child.process.stdout else b""
    if not line:
        raise await child.ended()
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        raise child.failure(f"printed {line[:200]!r} where one JSON line was expected") from None
    return found


async def stop_requested() -> None:
    """Return at the first SIGTERM, SIGINT or SIGHUP; a second one ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for signum in wanted:
        loop.add_signal_handler(signum, stopped.set)
    await stopped.wait()
    for signum in wanted:
        signal.signal(signum, signal.SIG_DFL)


async def until_stopped(work: Coroutine[Any, Any, None]) -> int:
    """Run until a signal asks to stop or the work ends; the exit code."""
    stop, working = asyncio.create_task(stop_requested()), asyncio.create_task(work)
    await asyncio.wait([stop, working], return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    try:
        await working
    except asyncio.CancelledError:
        return 0
    except ChildFailedError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0
