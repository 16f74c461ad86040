"""``python -m local storage``: Azurite's queue and table servers, the storage emulator of Microsoft.

Azurite is an npm package, pinned in ``local/azurite``; ``make setup`` installs it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.processes import Child, spawn, until_stopped

ACCOUNT: Final = "devstoreaccount1"
# Published by Microsoft for the emulator; it opens nothing else.
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE: Final = Path(__file__).parent / "azurite" / "node_modules" / "azurite" / "dist" / "src"
_READY: Final = re.compile(r"successfully (?:listens|started) on")
_READY_SECONDS: Final = 60.0
_FREE_PORT_TRIES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Server:
    """One of the two servers with the port it listens on."""

    child: Child
    port: int


def connection_string(queue_port: int, table_port: int, host: str = "127.0.0.1") -> str:
    """The connection string of the emulator, in the explicit form that every storage SDK reads."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"QueueEndpoint=http://{host}:{queue_port}/{ACCOUNT};TableEndpoint=http://{host}:{table_port}/{ACCOUNT};"
    )


def main(argv: list[str]) -> int:
    """Run both servers until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m local storage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queue-port", type=int, default=10001, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--table-port", type=int, default=10002, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--data", type=Path, help="folder to keep data in (default: in memory)")
    parser.add_argument("--json", action="store_true", help="print one JSON line once both accept requests")
    options = parser.parse_args(argv)
    if options.data:
        options.data = options.data.resolve()
        options.data.mkdir(parents=True, exist_ok=True)
    node = shutil.which("node")
    if node is None:
        print("Node is not installed, and Azurite needs it: https://nodejs.org.", file=sys.stderr)
        return 1
    if not AZURITE.exists():
        print("Azurite is not installed: run `make setup`, or `npm ci` in local/azurite.", file=sys.stderr)
        return 1
    return asyncio.run(until_stopped(_serve(node, options)))


async def _serve(node: str, options: argparse.Namespace) -> None:
    """Both servers until one ends (``ChildFailedError``) or this is cancelled."""
    starting = [
        asyncio.create_task(_server(node, kind, port, options.data))
        for kind, port in (("queue", options.queue_port), ("table", options.table_port))
    ]
    try:
        servers = await asyncio.gather(*starting)
        _announce(*servers, as_json=options.json)
        ends = [asyncio.create_task(server.child.ended()) for server in servers]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        raise done.pop().result()
    finally:
        for task in starting:
            task.cancel()
        outcomes = await asyncio.gather(*starting, return_exceptions=True)
        await asyncio.gather(*(outcome.child.stop() for outcome in outcomes if isinstance(outcome, Server)))


def _announce(queue: Server, table: Server, *, as_json: bool) -> None:
    connection = connection_string(queue.port, table.port)
    if as_json:
        pids = [os.getpid(), queue.child.pid, table.child.pid]
        print(json.dumps({"connectionString": connection, "pids": pids}), flush=True)
    else:
        print(f"Azurite is up; Ctrl+C ends it. Connection string:\n\n  {connection}\n", flush=True)


async def _server(node: str, kind: str, port: int, data: Path | None) -> Server:
    for _ in range(_FREE_PORT_TRIES if port == 0 else 1):
        # The table server does not report which port it took for 0, so it gets one that is free now.
        bound = port or _free_port()
        child = await _azurite(node, kind, bound, data)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                ready = await _ready(child)
        except BaseException:
            await child.stop()
            raise
        if ready:
            child.follow(child.process.stdout)
            return Server(child=child, port=bound)
        await child.stop()
    raise child.failure(f"did not start on port {bound} (is it taken? --{kind}-port chooses another)")


async def _azurite(node: str, kind: str, port: int, data: Path | None) -> Child:
    location = ["--location", str(data)] if data else ["--inMemoryPersistence"]
    # The queue SDK uses a newer API version than Azurite accepts by default: hence the second flag. --silent
    # leaves out one log line for every request.
    flags = [f"--{kind}Port", str(port), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command = [node, str(AZURITE / kind / "main.js"), *flags, *location]
    # SIGINT is the only signal at which Azurite saves its data.
    child = await spawn(f"azurite-{kind}", command, end_signal=signal.SIGINT)
    child.follow(child.process.stderr)
    return child


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _ready(child: Child) -> bool:
    stream = child.process.stdout
    while stream and (line := await stream.readline()):
        text = line.decode(errors="replace").rstrip()
        child.tail.append(text)
        if _READY.search(text):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
