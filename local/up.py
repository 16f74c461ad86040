"""``python -m local up``: tenant, storage and host on one machine, staying up until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.processes import Child, start, until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

_PRINTED: Final = ("functions", "key", "graph", "connectionString", "identityEndpoint", "identityHeader")
# The order in which the parts are ended: no part loses another that it still needs.
_END_ORDER: Final = ("host", "storage", "tenant")


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
        # As the deployment sets it.
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "17825792",
        "IDENTITY_ENDPOINT": tenant["identityEndpoint"],
        "IDENTITY_HEADER": tenant["identityHeader"],
    }


@asynccontextmanager
async def kit(
    *,
    ports: Ports | None = None,
    users: int = 200,
    data: Path | None = None,
    app: Path | None = None,
    tenant_options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str, str], None] | None = None,
) -> AsyncIterator[Kit]:
    """Everything running while the context lasts; ``ChildFailedError`` when a part does not get ready.

    Args:
        ports: where to listen (default: free ports).
        users: bulk users in the tenant.
        data: folder to keep the storage in (default: in memory).
        app: folder with the app to run (default: the project).
        tenant_options: more options for ``python -m local tenant``.
        environment: settings of the app, over those of this process.
        on_line: gets the name of a part and one line of its log.
    """
    ports = ports or Ports()
    children: list[Child] = []

    async def begin(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        follow = (lambda line: on_line(name, line)) if on_line else None
        children.append(await start(name, [name, *arguments, "--json"], environment=env, on_line=follow))
        return children[-1].ready

    data_option = ["--data", str(data / "storage")] if data else []
    first = [
        asyncio.create_task(begin("tenant", "--port", str(ports.graph), "--users", str(users), *tenant_options)),
        asyncio.create_task(
            begin("storage", "--queue-port", str(ports.queue), "--table-port", str(ports.table), *data_option)
        ),
    ]
    try:
        tenant, storage = await asyncio.gather(*first)
        env = host_environment(tenant, storage) | dict(environment or {})
        folder = ["--app", str(app)] if app else []
        host = await begin("host", "--port", str(ports.functions), *folder, env=env)
        known = tenant | storage | host
        pids = [os.getpid(), *tenant["pids"], *storage["pids"], *host["pids"]]
        yield Kit(address={name: known[name] for name in _PRINTED} | {"pids": pids}, children=tuple(children))
    finally:
        for task in first:
            task.cancel()
        await asyncio.gather(*first, return_exceptions=True)
        for child in sorted(children, key=lambda one: _END_ORDER.index(one.name)):
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
    ports = Ports(
        functions=options.functions_port,
        graph=options.graph_port,
        queue=options.queue_port,
        table=options.table_port,
    )
    if taken := _taken(ports):
        print(taken, file=sys.stderr)
        return 1
    return asyncio.run(until_stopped(_stay(options, ports)))


def _taken(ports: Ports) -> str:
    """Say which ports are in use, all at once, before anything is started."""
    lines = []
    for name, port in vars(ports).items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as problem:
            lines.append(
                f"Port {port} cannot be used ({problem.strerror}): --{name}-port chooses another, 0 a free one."
            )
    return "\n".join(lines)


async def _stay(options: argparse.Namespace, ports: Ports) -> None:
    """Everything until a part ends (``ChildFailedError``) or this is cancelled."""
    async with kit(ports=ports, users=options.users, data=options.data, on_line=_log(options.data)) as running:
        _announce(running.address, as_json=options.json)
        ends = [asyncio.create_task(child.ended()) for child in running.children]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        raise done.pop().result()


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
