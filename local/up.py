"""``python -m local up``: tenant, storage and host on one machine, staying up until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.processes import Child, ChildFailedError, start, stop_requested

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_KEPT: Final = ("functions", "key", "graph", "connectionString", "identityEndpoint", "identityHeader")


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The running parts; ``address`` is what ``--json`` prints."""

    address: dict[str, Any]
    children: tuple[Child, ...]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where to listen; 0 takes a free port."""

    functions: int = 0
    graph: int = 0
    queue: int = 0
    table: int = 0


def host_environment(tenant: Mapping[str, Any], storage: Mapping[str, Any]) -> dict[str, str]:
    """The environment that points the app at the local parts: the settings it would have in Azure."""
    return dict(os.environ) | {
        "AzureWebJobsStorage": storage["connectionString"],
        "GRAPH_ENDPOINT": tenant["graph"],
        "IDENTITY_ENDPOINT": tenant["identityEndpoint"],
        "IDENTITY_HEADER": tenant["identityHeader"],
    }


@asynccontextmanager
async def kit(
    *,
    ports: Ports | None = None,
    users: int = 200,
    data: Path | None = None,
    tenant_options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str, str], None] | None = None,
) -> AsyncIterator[Kit]:
    """Everything running while the context lasts; ended host first, so that nothing loses what it needs."""
    ports = ports or Ports()
    children: list[Child] = []

    async def begin(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        follow = (lambda line: on_line(name, line)) if on_line else None
        children.append(await start(name, [name, *arguments, "--json"], environment=env, on_line=follow))
        return children[-1].ready

    try:
        kept = ["--data", str(data / "storage")] if data else []
        tenant, storage = await asyncio.gather(
            begin("tenant", "--port", str(ports.graph), "--users", str(users), *tenant_options),
            begin("storage", "--queue-port", str(ports.queue), "--table-port", str(ports.table), *kept),
        )
        env = host_environment(tenant, storage) | dict(environment or {})
        host = await begin("host", "--port", str(ports.functions), env=env)
        known = tenant | storage | host
        pids = [os.getpid(), *tenant["pids"], *storage["pids"], *host["pids"]]
        yield Kit(address={name: known[name] for name in _KEPT} | {"pids": pids}, children=tuple(children))
    finally:
        order = {"host": 0, "storage": 1, "tenant": 2}
        for child in sorted(children, key=lambda one: order[one.name]):
            await child.stop()


def main(argv: list[str]) -> int:
    """Run the kit and print where everything is."""
    parser = argparse.ArgumentParser(prog="python -m local up", description=__doc__)
    for name, port in (("functions", 7071), ("graph", 7081), ("queue", 10001), ("table", 10002)):
        parser.add_argument(f"--{name}-port", type=int, default=port, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--users", type=int, default=200, help="bulk users in the tenant (default %(default)s)")
    parser.add_argument("--data", type=Path, help="folder to keep storage and logs in (default: in memory)")
    parser.add_argument("--json", action="store_true", help="print one JSON line once everything answers")
    options = parser.parse_args(argv)
    try:
        return asyncio.run(_run(options))
    except ChildFailedError as problem:
        print(problem, file=sys.stderr)
        return 1


async def _run(options: argparse.Namespace) -> int:
    stop = asyncio.create_task(stop_requested())
    ports = Ports(
        functions=options.functions_port,
        graph=options.graph_port,
        queue=options.queue_port,
        table=options.table_port,
    )
    starting = asyncio.create_task(_until_ended(options, ports, stop))
    await asyncio.wait([starting, stop], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done() and not options.started.is_set():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    return await starting


async def _until_ended(options: argparse.Namespace, ports: Ports, stop: asyncio.Task[None]) -> int:
    options.started = asyncio.Event()
    log = _log(options.data)
    async with kit(ports=ports, users=options.users, data=options.data, on_line=log) as running:
        options.started.set()
        _announce(running.address, as_json=options.json)
        ends = {asyncio.create_task(child.process.wait()): child for child in running.children}
        await asyncio.wait([stop, *ends], return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            dead = next(child for task, child in ends.items() if task.done())
            raise dead.failure(f"ended with code {dead.process.returncode}")
        for task in ends:
            task.cancel()
    return 0


def _log(data: Path | None) -> Callable[[str, str], None]:
    """Children's lines go to standard error, or to one file each beside the data."""
    if data is None:
        return lambda name, line: print(f"[{name}] {line}", file=sys.stderr, flush=True)
    folder = data / "logs"
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, line: str) -> None:
        with (folder / f"{name}.log").open("a") as file:
            file.write(line + "\n")

    return write


def _announce(address: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(address), flush=True)
        return
    print(
        "Everything is up. Ctrl+C ends it.\n\n"
        f"  API        {address['functions']}/api\n"
        f"  key        {address['key']}\n"
        f"  tenant     {address['graph']}   (control: {address['graph']}/_sim/users, docs/simulator.md)\n"
        f"  storage    {address['connectionString']}\n\n"
        f"  export API={address['functions']}/api KEY={address['key']} SIM={address['graph']}\n",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
