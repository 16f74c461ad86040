import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession
from clients import Api, App, Tenant, left_early, until
from kits import UNHURRIED, UNLIMITED, compare

from local.processes import Child, start
from local.up import Kit, host_environment, kit


@asynccontextmanager
async def another_host(
    address: Mapping[str, Any], settings: Mapping[str, str], port: str = "0"
) -> AsyncIterator[Child]:
    """One more host on the same storage and tenant, as the platform starts them."""
    environment = host_environment(address, address) | dict(settings) | {"LOCAL_FUNCTION_KEY": address["key"]}
    host = await start("host", ["host", "--port", port, "--json"], environment=environment)
    try:
        yield host
    finally:
        await host.stop()


def app_of(session: ClientSession, parts: Kit) -> App:
    api = Api(session, parts.address["functions"], parts.address["key"])
    return App(api, Tenant(session, parts.address["graph"]), parts.address)


async def test_two_hosts_on_one_storage_revoke_everybody_once(session: ClientSession, bulk: App) -> None:
    """Several requests side by side, a short pause asked for by Graph: nobody twice, and no host comes too early."""
    members = await bulk.tenant.people(1000, "hosts")
    refused = {"status": 429, "headers": {"Retry-After": "4"}}
    match = {"path": "revokeSignInSessions"}
    await bulk.tenant.post("faults", {"match": match, "after": 300, "times": 20, "action": refused})
    await bulk.tenant.post("config", {"latencyMs": 40})
    async with another_host(bulk.address, UNHURRIED) as second:
        other = Api(session, second.ready["functions"], second.ready["key"])
        replies = await asyncio.gather(
            *(
                (bulk.api, other)[part % 2].submit({"users": members[part * 200 : part * 200 + 200]})
                for part in range(5)
            )
        )
        assert {reply.status for reply in replies} == {202}
        for reply in replies:
            done = (await other.finished(reply.json["id"], 90)).json
            assert (done["status"], done["counts"]["verified"]) == ("succeeded", 200)
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)
    entries = [entry for entry in await bulk.tenant.get("revocations") if entry["userId"] in set(members)]
    assert [entry["status"] for entry in entries].count(429) == 20
    assert left_early(entries, pause=4) == []


async def test_no_proxy_of_the_environment_is_asked(bulk: App, session: ClientSession) -> None:
    """Graph, storage and the identity endpoint are called directly: no key or token goes where a variable points."""
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1")
    members = await bulk.tenant.people(2, "proxy")
    async with another_host(bulk.address, UNHURRIED | nowhere | {"NO_PROXY": "", "no_proxy": ""}) as host:
        reply = await Api(session, host.ready["functions"], host.ready["key"]).submit({"users": members})
    assert (reply.status, reply.json["counts"]["verified"]) == (200, 2)


async def test_a_paused_app_accepts_plans_and_waits_and_a_stopped_one_hands_on(session: ClientSession) -> None:
    """While revoking is paused requests wait, readable; after a stop in the middle of a large one nobody is done twice.

    One test, for what was paused is looked at once a minute: the stop is tried meanwhile.
    """
    config = json.dumps(json.loads(UNLIMITED) | {"latencyMs": 600})
    settings = UNHURRIED | {"LOCAL_QUEUE_VISIBILITY_SECONDS": "5"}
    paused = settings | {"REVOKING_PAUSED": "true"}
    async with kit(users=0, tenant_options=("--config", config), environment=paused) as parts:
        app = app_of(session, parts)
        people = await app.tenant.people(60, "paused")
        waiting = await paused_requests(app, people)
        assert await app.tenant.get("revocations") == []
        await next(child for child in parts.children if child.name == "host").stop()
        port = parts.address["functions"].rsplit(":", 1)[1]
        members = await app.tenant.people(1500, "stopped")
        async with another_host(parts.address, settings, port) as host:
            request_id = (await app.api.submit({"users": members})).json["id"]
            await until(app.tenant.served, lambda served: len(served) > 200)
            # The platform asks, and does not wait for ever.
            with suppress(TimeoutError):
                await asyncio.wait_for(host.stop(), 2)
            await host.stop(signal.SIGKILL)
            stopped = await app.tenant.served()
            assert len(stopped) < 1500
        async with another_host(parts.address, settings, port):
            done = (await app.api.finished(request_id, 150)).json
            assert (done["status"], done["counts"]["verified"]) == ("succeeded", 1500)
            for waited in waiting:
                again = (await app.api.finished(waited, 150)).json
                assert (again["status"], again["warnings"]) == ("succeeded", [])
            assert Counter(entry["userId"] for entry in await app.tenant.served(*members)) == Counter(members)
            await compare(parts.address, app.tenant)


async def paused_requests(app: App, people: list[str]) -> list[str]:
    """A small, a large, and a group's request that wait, and one that is cancelled while it does; who still waits."""
    group = await app.tenant.group(people[:30])
    ids = []
    for content in ({"user": people[30]}, {"users": people[31:]}, {"groups": [group]}, {"users": people}):
        reply = await app.api.submit(content)
        assert reply.status == 202
        ids.append(reply.json["id"])
    for request_id in ids:
        found = await until(
            lambda request_id=request_id: app.api.get(f"revocations/{request_id}"),
            lambda reply: bool(reply.json["warnings"]),
        )
        assert (found.status, found.json["status"]) == (202, "running")
        assert "REVOKING_PAUSED" in found.json["warnings"][0]
        assert found.json["counts"]["pending"] == found.json["counts"]["total"] == len(found.json["users"])
    planned = (await app.api.get(f"revocations/{ids[2]}")).json["users"]
    assert {user["userId"] for user in planned} == set(people[:30])
    assert (await app.api.say(ids[3], "cancel")).status == 202
    assert (await app.api.reaches(ids[3], "cancelled")).json["counts"]["skipped"] == 60
    return ids[:3]


async def test_one_user_never_waits_behind_ten_thousand(session: ClientSession) -> None:
    """While a large request waits for the write rate, a small one leaves within two seconds."""
    quota = {"quota": {"model": "bucket", "capacity": 300, "refill": 2}, "resourceUnitsPer10s": 1_000_000}
    async with kit(
        users=0, tenant_options=("--config", json.dumps(quota)), environment={"GRAPH_WRITES_PER_150S": "300"}
    ) as parts:
        app = app_of(session, parts)
        members = await app.tenant.people(10_000, "many")
        urgent = await app.tenant.people(3, "urgent")
        large = (await app.api.submit({"users": members})).json["id"]
        await until(app.tenant.served, lambda served: len(served) >= 270)
        for user in urgent:
            sent_at = datetime.now(UTC)
            reply = await app.api.submit({"user": user})
            assert (reply.status, reply.user["status"]) == (200, "verified")
            (entry,) = await app.tenant.served(user)
            assert (datetime.fromisoformat(entry["at"]) - sent_at).total_seconds() < 2
        found = (await app.api.get(f"revocations/{large}")).json
        assert (found["status"], found["counts"]["total"]) == ("running", 10_000)
        assert await app.tenant.violations() == 0
        assert [entry["status"] for entry in await app.tenant.get("revocations") if entry["status"] != 200] == []
        assert (await app.api.say(large, "cancel")).status == 202
        # Ten thousand rows need not be written for that.
        await next(child for child in parts.children if child.name == "host").stop(signal.SIGKILL)


async def test_one_user_never_waits_behind_many_large_requests(session: ClientSession) -> None:
    """Each of them is in hand while it waits for the write rate; what is left to the queue still starts at once."""
    settings = {"GRAPH_WRITES_PER_150S": "300"}
    async with kit(users=0, tenant_options=("--config", UNLIMITED), environment=settings) as parts:
        app = app_of(session, parts)
        urgent = await app.tenant.people(3, "urgent")
        lists = [await app.tenant.people(100, f"list{number}x") for number in range(8)]
        large = [(await app.api.submit({"users": members})).json["id"] for members in lists]
        await until(app.tenant.served, lambda served: len(served) >= 270)
        for user in urgent:
            sent_at = datetime.now(UTC)
            reply = await app.api.submit({"user": user}, Prefer="respond-async")
            assert reply.status == 202
            (entry,) = await until(lambda user=user: app.tenant.served(user), bool, 5)
            assert (datetime.fromisoformat(entry["at"]) - sent_at).total_seconds() < 2
        states = [(await app.api.get(f"revocations/{request_id}")).json["status"] for request_id in large]
        assert states.count("running") >= 5
        # None of them is waited for.
        await next(child for child in parts.children if child.name == "host").stop(signal.SIGKILL)


async def test_one_user_never_waits_behind_another_callers_flood(session: ClientSession) -> None:
    """Hundreds of small requests of one caller use the rate up; somebody else's user is revoked at once."""
    settings = {"GRAPH_WRITES_PER_150S": "200", "LOCAL_MASTER_KEY": "somebody-else"}
    async with kit(users=0, tenant_options=("--config", UNLIMITED), environment=settings) as parts:
        app = app_of(session, parts)
        urgent = await app.tenant.people(3, "urgent")
        flood = await app.tenant.people(400, "flood")
        turn = asyncio.Semaphore(20)

        async def sent(user: str) -> int:
            async with turn:
                return (await app.api.submit({"user": user}, Prefer="respond-async")).status

        assert {*await asyncio.gather(*(sent(user) for user in flood))} == {202}
        await until(app.tenant.served, lambda served: len(served) >= 180)
        for user in urgent:
            sent_at = datetime.now(UTC)
            reply = await app.api.submit({"user": user}, **{"x-functions-key": "somebody-else"})
            (entry,) = await until(lambda user=user: app.tenant.served(user), bool, 5)
            assert (datetime.fromisoformat(entry["at"]) - sent_at).total_seconds() < 5
            assert reply.status == 200
        assert len(await app.tenant.served()) < 390
        await next(child for child in parts.children if child.name == "host").stop(signal.SIGKILL)


async def test_a_host_that_is_killed_after_the_end_costs_no_evidence(session: ClientSession) -> None:
    """The answer is given, the host is killed: another one's timer reads who moved the cut-off and who signed in."""
    roles = ["User.ReadWrite.All", "GroupMember.Read.All", "AuditLog.Read.All"]
    settings = UNHURRIED | {"EVIDENCE": "true", "LOCAL_MASTER_KEY": "made-up-master-key"}
    config = json.dumps({"grantedRoles": roles})
    async with kit(users=0, tenant_options=("--config", config), environment=settings) as parts:
        app = app_of(session, parts)
        reply = await app.api.submit({"user": "adele@contoso.com"})
        assert (reply.status, reply.user["status"]) == (200, "verified")
        await next(child for child in parts.children if child.name == "host").stop(signal.SIGKILL)
        await app.tenant.post("signIns", {"user": "adele@contoso.com", "app": "Office 365"})
        async with another_host(parts.address, settings) as host:
            other = Api(session, host.ready["functions"], host.ready["key"])

            async def swept() -> Any:
                await other.call(
                    "POST",
                    host.ready["functions"] + "/admin/functions/sweep",
                    headers={"x-functions-key": settings["LOCAL_MASTER_KEY"]},
                    data="{}",
                )
                # Each look runs the timer once more: no faster than it reads.
                await asyncio.sleep(2)
                return (await other.get(f"revocations/{reply.json['id']}")).user.get("evidence") or {}

            evidence = await until(swept, lambda found: bool(found.get("firstSignIn")))
            assert evidence["initiatedBy"]["kind"] == "app"
            assert evidence["firstSignIn"]["app"] == "Office 365"
            assert (await other.get(f"revocations/{reply.json['id']}")).user["status"] == "verified"
