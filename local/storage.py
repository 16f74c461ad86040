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
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.processes import Child, ChildFailedError, die_with_parent, stop_requested

ACCOUNT: Final = "devstoreaccount1"
# Published by Microsoft for the emulator; it opens nothing else.
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE: Final = Path(__file__).parent / "azurite" / "node_modules" / "azurite" / "dist" / "src"
_READY: Final = re.compile(r"successfully (?:listens|started) on")
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """One of the two servers with the port it listens on."""

    child: Child
    port: int


def connection_string(queue_port: int, table_port: int, host: str = "127.0.0.1") -> str:
    """The connection string of the emulator."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"QueueEndpoint=http://{host}:{queue_port}/{ACCOUNT};TableEndpoint=http://{host}:{table_port}/{ACCOUNT};"
    )


def main(argv: list[str]) -> int:
    """Run both servers until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local storage", description=__doc__)
    parser.add_argument("--queue-port", type=int, default=10001, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--table-port", type=int, default=10002, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--data", type=Path, help="folder to keep data in (default: in memory)")
    parser.add_argument("--json", action="store_true", help="print one JSON line once both accept requests")
    options = parser.parse_args(argv)
    node = shutil.which("node")
    if node is None or not AZURITE.exists():
        print("Azurite is not installed: run `make setup` (it needs Node).", file=sys.stderr)
        return 1
    if options.data:
        options.data = options.data.resolve()
        options.data.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_run(node, options))


async def _run(node: str, options: argparse.Namespace) -> int:
    stop = asyncio.create_task(stop_requested())
    servers: list[Server] = []
    try:
        for kind, port in (("queue", options.queue_port), ("table", options.table_port)):
            servers.append(await _server(node, kind, port, options.data))
        _announce(servers, as_json=options.json)
        ends = [asyncio.create_task(server.child.process.wait()) for server in servers]
        await asyncio.wait([stop, *ends], return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            dead = next(server.child for server in servers if server.child.process.returncode is not None)
            raise dead.failure(f"ended with code {dead.process.returncode}")
    except ChildFailedError as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        await asyncio.gather(*(server.child.stop() for server in servers))
    return 0


def _announce(servers: list[Server], *, as_json: bool) -> None:
    connection = connection_string(servers[0].port, servers[1].port)
    if as_json:
        pids = [os.getpid(), *(server.child.pid for server in servers)]
        print(json.dumps({"connectionString": connection, "pids": pids}), flush=True)
    else:
        print(f"Azurite is up. Connection string:\n{connection}", flush=True)


async def _server(node: str, kind: str, port: int, data: Path | None) -> Server:
    place = ["--location", str(data)] if data else ["--inMemoryPersistence"]
    bound = port or free_port()
    process = await asyncio.create_subprocess_exec(
        node,
        str(AZURITE / kind / "main.js"),
        f"--{kind}Port",
        str(bound),
        # The current queue SDK speaks a newer API version than Azurite knows by name.
        "--skipApiVersionCheck",
        "--disableTelemetry",
        *place,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    child = Child(name=f"azurite-{kind}", process=process)
    try:
        ready = await asyncio.wait_for(_ready(child), _READY_SECONDS)
    except TimeoutError:
        ready = False
    if not ready:
        await child.stop()
        raise child.failure(f"did not start on port {bound} (taken? --{kind}-port chooses another)")
    child.readers.append(asyncio.create_task(_drain(child)))
    return Server(child=child, port=bound)


def free_port() -> int:
    """A port that is free now: the table server does not tell which one it took for 0."""
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


async def _drain(child: Child) -> None:
    stream = child.process.stdout
    while stream and (line := await stream.readline()):
        text = line.decode(errors="replace").rstrip()
        # Azurite writes an access-log line per request; only what is not one helps in an error.
        if " HTTP/" not in text:
            child.tail.append(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
