from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from batch_items import revoke_item

if TYPE_CHECKING:
    from conftest import Simulator

TEAM = [f"team{number:02d}@contoso.com" for number in range(1, 21)]


async def test_twenty_revokes_fit_one_batch_and_come_back_in_another_order(sim: Simulator) -> None:
    """All 200, every id once, not in the order asked."""
    responses = (await sim.batch(*TEAM)).json["responses"]
    ids = [response["id"] for response in responses]
    assert {response["status"] for response in responses} == {200}
    assert sorted(ids) == TEAM
    assert ids != TEAM
    assert all(response["body"]["value"] is True for response in responses)
    assert {entry["via"] for entry in await sim.truth("revocations")} == {"batch"}


async def test_the_same_batch_comes_back_in_the_same_order(sim: Simulator) -> None:
    """The order is seeded, so that a run can be repeated."""
    first, second = [(await sim.batch(*TEAM)).json["responses"] for _ in range(2)]
    assert [response["id"] for response in first] == [response["id"] for response in second]


@pytest.mark.parametrize("missing", ["body", "headers"])
async def test_a_write_without_body_or_content_type_fails_the_whole_batch(sim: Simulator, missing: str) -> None:
    """400 with Graph's text, and none of the items runs."""
    item = revoke_item("bob@contoso.com", id="2")
    del item[missing]
    reply = await sim.batch("adele@contoso.com", item)
    assert (reply.status, reply.code) == (400, "BadRequest")
    assert reply.message.startswith("Write request id : 2 does not contain Content-Type header or body")
    assert await sim.truth("revocations") == []


@pytest.mark.parametrize(
    "items",
    [
        [revoke_item("adele@contoso.com", id="A"), revoke_item("bob@contoso.com", id="a")],
        [revoke_item("adele@contoso.com", url="https://graph.microsoft.com/v1.0/users/adele@contoso.com")],
        [revoke_item("adele@contoso.com", url="/$batch")],
        [revoke_item("adele@contoso.com", id=1)],
        [],
    ],
    ids=["ids that differ in case only", "absolute url", "nested batch", "id that is no string", "no items"],
)
async def test_a_batch_against_the_rules_is_refused_whole(sim: Simulator, items: list[dict[str, Any]]) -> None:
    """400, and no user is revoked."""
    reply = await sim.graph("POST", "/$batch", body={"requests": items})
    assert reply.status == 400
    assert await sim.truth("revocations") == []


async def test_twenty_one_items_are_too_many(sim: Simulator) -> None:
    """400 with Graph's text."""
    reply = await sim.batch(*TEAM, "adele@contoso.com")
    assert (reply.status, reply.message) == (400, "Number of requests inside batch exceeds the limit.")


async def test_each_item_has_its_own_fate(sim: Simulator) -> None:
    """The envelope is 200 whatever happens inside."""
    reply = await sim.batch("adele@contoso.com", "nobody@contoso.com")
    found = {response["id"]: response for response in reply.json["responses"]}
    assert reply.status == 200
    assert found["adele@contoso.com"]["status"] == 200
    assert found["nobody@contoso.com"]["status"] == 404
    assert found["nobody@contoso.com"]["body"]["error"]["code"] == "Request_ResourceNotFound"


async def test_each_item_counts_against_the_quota(sim: Simulator) -> None:
    """Five fit, fifteen are throttled, each with its own Retry-After."""
    await sim.configure(quota={"model": "bucket", "capacity": 5, "refill": 0})
    reply = await sim.batch(*TEAM)
    throttled = [response for response in reply.json["responses"] if response["status"] == 429]
    assert (reply.status, len(throttled)) == (200, 15)
    assert {response["headers"]["Retry-After"] for response in throttled} == {"10"}
    assert sum(entry["effective"] for entry in await sim.truth("revocations")) == 5


async def test_who_depends_on_a_failure_fails_with_424(sim: Simulator) -> None:
    """The dependent item is not carried out; one that depends on a success is."""
    reply = await sim.batch(
        revoke_item("nobody@contoso.com", id="1"),
        revoke_item("adele@contoso.com", id="2", dependsOn=["1"]),
        revoke_item("bob@contoso.com", id="3"),
        revoke_item("carol@contoso.com", id="4", dependsOn=["3"]),
    )
    found = {response["id"]: response["status"] for response in reply.json["responses"]}
    assert found == {"1": 404, "2": 424, "3": 200, "4": 200}


async def test_reads_go_in_a_batch_without_a_body(sim: Simulator) -> None:
    """A GET needs neither Content-Type nor body."""
    item = {"id": "1", "method": "GET", "url": "/users/adele@contoso.com?$select=id"}
    (response,) = (await sim.batch(item)).json["responses"]
    assert (response["status"], set(response["body"])) == (200, {"@odata.context", "id"})


async def test_a_batch_waits_once(sim: Simulator) -> None:
    """Latency is paid per HTTP call: twenty items do not take twenty times as long."""
    await sim.configure(latencyMs=100)
    reply = await sim.batch(*TEAM)
    moments = [entry["at"] for entry in await sim.truth("revocations")]
    assert reply.status == 200
    assert max(moments)[:19] >= min(moments)[:19]
    assert float(max(moments)[17:23]) - float(min(moments)[17:23]) < 0.1
