from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator

TRIO = ("adele@contoso.com", "bob@contoso.com", "carol@contoso.com")


async def test_a_scripted_status_replaces_the_work(sim: Simulator) -> None:
    """The answer is the fault's, nothing is revoked, and the next call is served."""
    await sim.fault(status=503, headers={"Retry-After": "7"}, body={"error": {"code": "serviceNotAvailable"}})
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.headers["Retry-After"], reply.json["error"]["code"]) == (
        503,
        "7",
        "serviceNotAvailable",
    )
    assert (await sim.revoke("adele@contoso.com")).status == 200
    assert [entry["effective"] for entry in await sim.truth("revocations")] == [False, True]


async def test_a_fault_applies_after_so_many_and_so_often(sim: Simulator) -> None:
    """`after` lets calls pass, `times` ends it, `fired` counts."""
    await sim.fault(after=1, times=2, status=500)
    assert [(await sim.revoke("adele@contoso.com")).status for _ in range(4)] == [200, 500, 500, 200]
    assert [fault["fired"] for fault in await sim.truth("faults")] == [2]


async def test_a_fault_applies_to_the_search_it_names(sim: Simulator) -> None:
    """By what stands in the filter; others are served."""
    await sim.fault(times=None, match={"filter": "mail eq 'bob"}, status=500)
    answers = [(await sim.graph("GET", f"/users?$filter=mail%20eq%20'{name}'")).status for name in TRIO]
    assert answers == [200, 500, 200]


async def test_a_fault_applies_to_the_user_it_names(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """One user, one method, one path: in a batch that item alone."""
    await sim.fault(times=None, match={"scope": "item", "userId": id_of("bob@contoso.com").upper()}, status=500)
    responses = (await sim.batch(*TRIO)).json["responses"]
    assert {response["id"]: response["status"] for response in responses}["bob@contoso.com"] == 500
    assert sorted(response["status"] for response in responses) == [200, 200, 500]
    assert (await sim.revoke("bob@contoso.com")).status == 200


@pytest.mark.parametrize(("drop", "logged"), [("before", 0), ("after", 1)])
async def test_a_lost_connection_does_or_does_not_do_the_work(sim: Simulator, drop: str, logged: int) -> None:
    """The client sees no answer either way; only the log has it."""
    await sim.fault(match={"scope": "single", "method": "POST"}, drop=drop)
    with pytest.raises(ClientError):
        await sim.revoke("adele@contoso.com")
    assert len(await sim.truth("revocations")) == logged


async def test_an_error_may_be_told_of_work_that_was_done(sim: Simulator) -> None:
    """By itself the log has the status that was answered; of a batch, each item has its own."""
    await sim.fault(match={"scope": "single"}, status=503, done=True)
    await sim.fault(match={"scope": "envelope"}, status=503, done=True)
    assert (await sim.revoke("adele@contoso.com")).status == 503
    assert (await sim.batch("bob@contoso.com")).status == 503
    log = await sim.truth("revocations")
    assert [(entry["status"], entry["effective"]) for entry in log] == [(503, True), (200, True)]


async def test_a_batch_whose_answer_is_lost_was_carried_out(sim: Simulator) -> None:
    """All three are revoked and logged with the status they would have been sent."""
    await sim.fault(match={"scope": "envelope"}, drop="after")
    with pytest.raises(ClientError):
        await sim.batch(*TRIO)
    assert [entry["status"] for entry in await sim.truth("revocations")] == [200, 200, 200]


async def test_items_can_be_missing_or_doubled(sim: Simulator) -> None:
    """The work of all is done; the answer omits one or has one twice."""
    await sim.fault(match={"scope": "envelope"}, missingItems=1)
    assert len((await sim.batch(*TRIO)).json["responses"]) == 2
    await sim.fault(match={"scope": "envelope"}, duplicateItems=1)
    ids = [response["id"] for response in (await sim.batch(*TRIO)).json["responses"]]
    assert (len(ids), len(set(ids))) == (4, 3)
    assert len(await sim.truth("revocations")) == 6


async def test_an_answer_can_end_in_the_middle(sim: Simulator) -> None:
    """The announced length is not reached."""
    await sim.fault(truncate=True)
    with pytest.raises(ClientError):
        await sim.revoke("adele@contoso.com")


async def test_an_answer_can_be_no_json_or_lead_elsewhere(sim: Simulator) -> None:
    """A proxy's page with its status, and a redirect to another host."""
    await sim.fault(status=502, raw="<html>bad gateway</html>")
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.text) == (502, "<html>bad gateway</html>")
    await sim.fault(redirect="https://evil.example/")
    reply = await sim.revoke("adele@contoso.com")
    assert (reply.status, reply.headers["Location"]) == (302, "https://evil.example/")


async def test_only_a_fault_that_names_tokens_applies_to_them(sim: Simulator) -> None:
    """`any` leaves the identity endpoint alone."""
    await sim.fault(times=None, status=500)
    assert (await sim.token()).status == 200
    await sim.fault(match={"scope": "token"}, status=503)
    assert [(await sim.token()).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(
    "fault",
    [
        {"action": {"stauts": 500}},
        {"match": {"scope": "batch"}, "action": {"status": 500}},
        {"match": {"user": "x"}, "action": {"status": 500}},
        {"match": {}},
        [{"action": {"status": 500}}, {"action": "500"}],
    ],
)
async def test_a_fault_that_cannot_be_read_is_refused(sim: Simulator, fault: object) -> None:
    """400, and none of a list is taken."""
    assert (await sim.call("POST", "/_sim/faults", body=fault)).status == 400
    assert await sim.truth("faults") == []
