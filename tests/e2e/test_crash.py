import asyncio
import json
import os
import signal
from typing import Any

from aiohttp import ClientSession
from clients import Api, Tenant, until

from local.processes import start
from local.up import Ports, host_environment, kit

TEAM = [f"team{number:02d}@contoso.com" for number in range(1, 21)]


async def statuses(api: Api, tenant: Tenant) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The only request, finished, and what the tenant did."""
    (entry,) = (await api.get("revocations")).json["value"]
    done = await api.finished(entry["id"], seconds=200)
    return done.json, await tenant.served()


async def test_a_host_killed_in_the_middle_of_a_call_revokes_everybody_exactly_once(session: ClientSession) -> None:
    """Killed with -9 after Graph had the call and before its answer: what is in doubt is settled by reading."""
    async with kit() as parts:
        host = next(child for child in parts.children if child.name == "host")
        api = Api(session, parts.address["functions"], parts.address["key"])
        tenant = Tenant(session, parts.address["graph"])
        # The first batch looks the users up; the second one revokes and is slow to answer.
        fault = {"match": {"path": "batch", "scope": "envelope"}, "after": 1, "action": {"delayMs": 60_000}}
        await tenant.post("faults", fault)
        call = asyncio.create_task(api.submit({"users": TEAM}))
        await until(tenant.served, lambda served: len(served) == 20)
        os.kill(host.pid, signal.SIGKILL)
        await asyncio.gather(call, return_exceptions=True)
        environment = host_environment(parts.address, parts.address)
        environment |= {"IDENTITY_ENDPOINT": parts.address["identityEndpoint"]}
        port = parts.address["functions"].rsplit(":", 1)[1]
        environment["LOCAL_FUNCTION_KEY"] = parts.address["key"]
        again = await start("host", ["host", "--port", port, "--json"], environment=environment)
        try:
            done, served = await statuses(api, tenant)
        finally:
            await again.stop()
        assert (done["status"], done["counts"]["verified"]) == ("succeeded", 20)
        assert {user["attempts"] for user in done["users"]} == {1}
        assert sorted(entry["userId"] for entry in served) == sorted(user["userId"] for user in done["users"])


async def test_a_stopped_host_finishes_what_it_has_begun(session: ClientSession) -> None:
    """SIGTERM in the middle of a call: nothing is lost and nobody is revoked twice."""
    async with kit(ports=Ports(), tenant_options=("--latency-ms", "300")) as parts:
        host = next(child for child in parts.children if child.name == "host")
        api = Api(session, parts.address["functions"], parts.address["key"])
        tenant = Tenant(session, parts.address["graph"])
        call = asyncio.create_task(api.submit({"users": TEAM}))
        await until(lambda: tenant.get("calls"), lambda calls: calls["routes"].get("/$batch", 0) >= 1)
        assert await host.stop() == 0
        reply = await call
        assert (reply.status, reply.json["status"]) == (200, "succeeded"), json.dumps(reply.json)[:500]
        assert len(await tenant.served()) == 20
