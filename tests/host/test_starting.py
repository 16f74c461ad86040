from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from azure.storage.queue.aio import QueueClient
from clients import until

from local.processes import ROOT, ChildFailedError, start

if TYPE_CHECKING:
    from aiohttp import ClientSession

FREE_PORTS = ("--functions-port", "0", "--graph-port", "0", "--queue-port", "0", "--table-port", "0")


def alive(pids: list[int]) -> list[int]:
    """The processes that run; one that ended and is not yet waited for does not."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            continue
        if state not in "ZX":
            found.append(pid)
    return found


async def gone(pids: list[int]) -> None:
    """Wait until none of the processes runs."""

    async def left() -> list[int]:
        return alive(pids)

    await until(left, lambda found: not found)


def app_folder(folder: Path, code: str) -> Path:
    (folder / "function_app.py").write_text(code)
    (folder / "host.json").write_text('{"version": "2.0"}')
    return folder


async def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run ``python -m local`` to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "local",
        *arguments,
        cwd=ROOT,
        env=os.environ | settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_unknown_command_is_named() -> None:
    """With those that exist, and exit code 2."""
    code, _, err = await run("tenat")
    assert code == 2
    assert "tenat" in err
    assert "storage" in err


@pytest.mark.parametrize("command", ["storage", "host", "up"])
async def test_every_command_explains_itself(command: str) -> None:
    """--help names the options."""
    code, out, _ = await run(command, "--help")
    assert code == 0
    assert "--json" in out


async def test_an_app_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    """The runtime's message and the stack, exit code 1, nothing on standard output."""
    app = app_folder(tmp_path, "import azure.functions as func\nraise ValueError('GRAPH_ENDPOINT is wrong')\n")
    code, out, err = await run("host", "--app", str(app), "--port", "0", "--json")
    assert (code, out) == (1, "")
    assert "ValueError: GRAPH_ENDPOINT is wrong" in err
    assert "function_app.py" in err


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ('queue_trigger("x", queue_name="q", connection="Nowhere")', "Nowhere"),
        ('queue_trigger("x", queue_name="%NOT_SET%", connection="AzureWebJobsStorage")', "NOT_SET"),
        ('timer_trigger("x", schedule="61 * * * * *")', "The schedule of f"),
        ('route("a/{id:strange}")', "strange"),
    ],
)
async def test_a_binding_that_cannot_work_is_named(tmp_path: Path, trigger: str, named: str) -> None:
    """A missing setting, a wrong schedule, an unknown constraint: exit code 1 and one clear line."""
    code = f"import azure.functions as func\napp = func.FunctionApp()\n@app.{trigger}\nasync def f(x): ...\n"
    app = app_folder(tmp_path, code.replace("f(x)", "f(req)") if "route(" in trigger else code)
    status, _, err = await run(
        "host", "--app", str(app), "--port", "0", AzureWebJobsStorage="UseDevelopmentStorage=true"
    )
    assert status == 1
    assert named in err
    assert "Traceback" not in err


async def test_a_taken_port_is_named_with_its_option() -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = [*FREE_PORTS[:-1], port]
        for arguments in (["up", *ports], ["host", "--port", port]):
            code, _, err = await run(*arguments)
            assert code == 1
            assert port in err
            assert ("--table-port" if arguments[0] == "up" else "--port") in err


async def test_storage_keeps_its_data_in_a_folder(tmp_path: Path) -> None:
    """A message and a table survive a stop and a start."""
    arguments = ["storage", "--queue-port", "0", "--table-port", "0", "--data", str(tmp_path / "data"), "--json"]
    first = await start("storage", arguments)
    connection = first.ready["connectionString"]
    async with (
        QueueClient.from_connection_string(connection, "kept") as queue,
        TableServiceClient.from_connection_string(connection) as tables,
    ):
        await queue.create_queue()
        await queue.send_message("still here")
        await tables.create_table("Kept")
    assert await first.stop() == 0
    second = await start("storage", arguments)
    async with (
        QueueClient.from_connection_string(second.ready["connectionString"], "kept") as queue,
        TableServiceClient.from_connection_string(second.ready["connectionString"]) as tables,
    ):
        assert [message.content async for message in queue.receive_messages()] == ["still here"]
        assert [table.name async for table in tables.list_tables()] == ["Kept"]
    await second.stop()
    await gone([*first.ready["pids"], *second.ready["pids"]])


async def test_storage_in_memory_forgets(storage: str) -> None:
    """A new emulator is empty."""
    async with QueueClient.from_connection_string(storage, "kept") as queue:
        with pytest.raises(ResourceNotFoundError):
            await queue.get_queue_properties()


async def test_storage_ends_when_a_server_ends() -> None:
    """Exit code 1, the other server ended, and the dead one named."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    _, queue, table = child.ready["pids"]
    os.kill(table, signal.SIGKILL)
    assert await child.process.wait() == 1
    await gone([queue])
    await child.stop()
    assert "azurite-table ended with code -9" in "\n".join(child.tail)


async def test_up_starts_everything_and_ends_it(session: ClientSession, tmp_path: Path) -> None:
    """One JSON line once addresses answer and a message can be sent; SIGTERM ends every process, exit code 0."""
    child = await start(
        "up",
        ["up", *FREE_PORTS, "--users", "3", "--data", str(tmp_path), "--json"],
        environment=os.environ | {"LOCAL_FUNCTION_KEY": "mine"},
    )
    address = child.ready
    names = {"functions", "key", "graph", "connectionString", "identityEndpoint", "identityHeader", "pids"}
    assert set(address) == names
    assert address["key"] == "mine"
    async with QueueClient.from_connection_string(address["connectionString"], "revocation-requests") as queue:
        await queue.send_message("nobody@contoso.com")
    assert len(alive(address["pids"])) == len(address["pids"]) == 6
    for url in (f"{address['functions']}/api/health", f"{address['graph']}/_sim/users"):
        async with session.get(url) as answer:
            assert answer.status == 200
    async with session.get(
        address["identityEndpoint"],
        params={"resource": "https://graph.microsoft.com", "api-version": "2019-08-01"},
        headers={"X-IDENTITY-HEADER": address["identityHeader"]},
    ) as answer:
        assert answer.status == 200
    assert await child.stop() == 0
    assert alive(address["pids"]) == []
    assert "Functions.health" in (tmp_path / "logs" / "host.log").read_text()


async def test_nothing_outlives_up() -> None:
    """Even kill -9 of ``up`` leaves no process behind (on Linux)."""
    child = await start("up", ["up", *FREE_PORTS, "--users", "3", "--json"])
    await child.stop(signal.SIGKILL)
    await gone(child.ready["pids"])


async def test_up_says_which_part_died() -> None:
    """Its name, the exit code 1, and the rest ended."""
    child = await start("up", ["up", *FREE_PORTS, "--users", "3", "--json"])
    os.kill(child.ready["pids"][1], signal.SIGKILL)
    assert await child.process.wait() == 1
    await gone(child.ready["pids"])
    await child.stop()
    assert "tenant ended with code -9" in "\n".join(child.tail)


async def test_a_child_that_is_never_ready_is_named_and_ended(tmp_path: Path) -> None:
    """The caller gets its last lines, and no process is left."""
    app = app_folder(
        tmp_path,
        "import os, sys, time\nprint('stuck in', os.getpid(), file=sys.stderr, flush=True)\ntime.sleep(600)\n",
    )
    with pytest.raises(ChildFailedError, match="was not ready within 5 s") as failure:
        await start("host", ["host", "--app", str(app), "--port", "0", "--json"], seconds=5)
    found = re.search(r"stuck in (\d+)", str(failure.value))
    assert found
    assert alive([int(found[1])]) == []


async def test_standard_output_has_one_line(tmp_path: Path) -> None:
    """What the app prints goes to standard error, so that a script can read the line."""
    app = app_folder(tmp_path, "import azure.functions as func\nprint('hello')\napp = func.FunctionApp()\n")
    child = await start("host", ["host", "--app", str(app), "--port", "0", "--json"])
    assert set(child.ready) == {"functions", "key", "pids"}
    assert await child.stop() == 0
    assert json.dumps("hello")[1:-1] in "\n".join(child.tail)
