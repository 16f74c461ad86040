from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from local.simulator.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator


async def test_the_directory_is_there_to_compare_with(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Seeds and bulk users, with who is an administrator, ids as quoted in the docs."""
    users = {user["userPrincipalName"]: user for user in await sim.truth("users")}
    assert len(users) == 234
    assert users["adele@contoso.com"]["id"] == id_of("adele@contoso.com") == "03498c35-8fda-5cd5-a44a-54b17f07b1c0"
    assert {upn for upn, user in users.items() if user["isAdmin"]} == {
        "breakglass@contoso.com",
        "root.admin@contoso.com",
    }
    assert {group["displayName"] for group in await sim.truth("groups")} >= {"HP team", "All of HP", "Hidden"}


async def test_users_come_and_go(sim: Simulator) -> None:
    """A user added is found and can be made an administrator; one removed is not found any more."""
    added = await sim.call("POST", "/_sim/users", body={"userPrincipalName": "new@contoso.com", "department": "HP"})
    assert added.status == 201
    key = added.json["id"]
    changed = await sim.call("PATCH", f"/_sim/users/{key}", body={"isAdmin": True, "accountEnabled": False})
    assert (changed.json["isAdmin"], changed.json["accountEnabled"]) == (True, False)
    assert (await sim.revoke("new@contoso.com")).status == 200
    assert (await sim.call("DELETE", f"/_sim/users/{key}")).status == 204
    assert (await sim.revoke("new@contoso.com")).status == 404


async def test_the_log_lists_every_revoke_in_order(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Who, when, how it ended, by single call or batch; a single call under its answer's request id."""
    first = await sim.revoke("adele@contoso.com")
    await sim.batch("bob@contoso.com")
    log = await sim.truth("revocations")
    assert [entry["userId"] for entry in log] == [id_of("adele@contoso.com"), id_of("bob@contoso.com")]
    assert [entry["via"] for entry in log] == ["single", "batch"]
    assert log[0]["requestId"] == first.headers["request-id"]
    assert set(log[0]) == {"userId", "at", "status", "effective", "via", "requestId"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"latency": 5}, "latency"),
        ({"latencyMs": -1}, "latencyMs"),
        ({"quota": {"model": "leaky"}}, "quota.model"),
        ({"quota": {"size": 5}}, "quota.size"),
        ({"lagSeconds": 9, "timeScale": 0}, "timeScale"),
    ],
)
async def test_a_wrong_configuration_is_refused_by_name(sim: Simulator, values: dict[str, object], named: str) -> None:
    """400 naming the field, and nothing of it is taken over."""
    before = await sim.truth("config")
    reply = await sim.configure(**values)
    assert reply.status == 400
    assert f"'{named}'" in reply.text
    assert await sim.truth("config") == before


async def test_a_change_answers_with_the_whole_configuration(sim: Simulator) -> None:
    """A model that is named brings its own figures."""
    whole = (await sim.configure(lagSeconds=3, quota={"model": "hidden"})).json
    assert (whole["lagSeconds"], whole["quota"]["capacity"], whole["quota"]["refill"]) == (3, 500, 12)
    assert whole == await sim.truth("config")


async def test_a_reset_leaves_the_log_unless_asked(sim: Simulator) -> None:
    """Faults, throttles and configuration go back to the start; the log only with `log`."""
    start = await sim.truth("config")
    await sim.configure(latencyMs=1, quota={"model": "empty", "refill": 0})
    await sim.fault(times=None, status=500)
    await sim.call("POST", "/_sim/throttle", body={"seconds": 100, "kind": "all"})
    await sim.call("POST", "/_sim/reset")
    assert (await sim.truth("config"), await sim.truth("faults")) == (start, [])
    assert (await sim.revoke("adele@contoso.com")).status == 200
    await sim.call("POST", "/_sim/reset", body={})
    assert len(await sim.truth("revocations")) == 1
    await sim.call("POST", "/_sim/reset", body={"log": True})
    assert await sim.truth("revocations") == []


async def test_other_versions_and_unknown_paths_are_400(sim: Simulator) -> None:
    """As Graph answers them; `/me` needs a signed-in user."""
    headers = {"Authorization": f"Bearer {(await sim.token()).json['access_token']}"}
    assert (await sim.call("GET", "/beta/users", headers=headers)).status == 400
    unknown = await sim.graph("GET", "/nonsense")
    assert (unknown.status, unknown.message) == (400, "Resource not found for the segment 'nonsense'.")
    assert (await sim.graph("POST", "/me/revokeSignInSessions")).status == 400


async def test_the_process_says_where_it_listens_and_ends_when_told(sim: Simulator) -> None:
    """One JSON line, a working endpoint behind it, exit 0 on SIGTERM."""
    options = ("--port", "0", "--users", "0", "--identity-header", "made-up-header", "--json")
    command = (sys.executable, "-m", "local", "tenant", *options, "--config", '{"revokeStatus": 204}')
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        assert set(ready) == {"graph", "identityEndpoint", "identityHeader", "pids"}
        assert ready["identityHeader"] == "made-up-header"
        assert (await sim.call("GET", f"{ready['graph']}/_sim/config")).json["revokeStatus"] == 204
    finally:
        process.send_signal(signal.SIGTERM)
        status = await process.wait()
    assert status == 0


def test_a_wrong_config_option_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason goes to standard error."""
    assert main(["--config", '{"nope": 1}']) == 2
    assert "nope" in capsys.readouterr().err
