import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from clients import Api, App, Reply, summed, until


async def held(bulk: App, mark: str, count: int = 120, **more: Any) -> tuple[Reply, list[str]]:
    """A request for a group, held because it comes down to more than 100 users."""
    members = await bulk.tenant.people(count, mark)
    reply = await bulk.api.submit({"groups": [await bulk.tenant.group(members)]} | more)
    assert reply.status == 202
    return await bulk.api.reaches(reply.json["id"], "held"), members


async def test_a_found_set_above_the_limit_is_held_until_its_number_is_confirmed(
    bulk: App, numbers: Callable[[], int]
) -> None:
    """Held is a 200 that names the link; another number is 409; the right one 202, and then all are revoked once."""
    found, members = await held(bulk, f"held{numbers()}")
    assert (found.status, found.json["counts"]["total"], found.json["counts"]["pending"]) == (200, 120, 120)
    assert found.json["links"]["confirm"].endswith(f"{found.json['id']}/confirm")
    listed = (await bulk.api.get("revocations?status=held")).json["value"]
    assert [entry["id"] for entry in listed] == [found.json["id"]]
    for number in (0, 119, 121):
        assert (await bulk.api.say(found.json["id"], "confirm", {"users": number})).status == 409
    assert await bulk.tenant.served(*members) == []
    confirm = {"method": "POST", "headers": bulk.api.key, "data": '{"users": 120}'}
    reply = await bulk.api.call(path=found.json["links"]["confirm"], **confirm)
    assert (reply.status, reply.json["status"]) == (202, "running")
    assert "Location" in reply.headers
    done = await bulk.api.finished(found.json["id"])
    assert (done.json["status"], done.json["counts"]["verified"]) == ("succeeded", 120)
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)
    assert (await bulk.api.say(found.json["id"], "confirm", {"users": 120})).status == 409
    assert (await bulk.api.get("revocations?status=held")).json["value"] == []


async def test_a_confirmation_repeated_at_once_is_one(bulk: App, numbers: Callable[[], int]) -> None:
    """A caller whose first answer was lost may say it again; nobody is revoked twice."""
    found, members = await held(bulk, f"twice{numbers()}")
    replies = await asyncio.gather(*(bulk.api.say(found.json["id"], "confirm", {"users": 120}) for _ in range(3)))
    assert {reply.status for reply in replies} <= {200, 202}
    assert (await bulk.api.finished(found.json["id"])).json["status"] == "succeeded"
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)


async def test_a_confirmation_counts_from_the_first_moment_on(bulk: App, numbers: Callable[[], int]) -> None:
    """Said while the worker that found the users still writes that it is held, it is not lost."""
    for _ in range(4):
        members = await bulk.tenant.people(101, f"early{numbers()}")
        reply = await bulk.api.submit({"groups": [await bulk.tenant.group(members)]})
        confirmed = await confirmed_at_once(bulk.api, reply.json["id"], 101)
        assert confirmed.status == 202
        done = await bulk.api.finished(reply.json["id"])
        assert (done.json["status"], done.json["counts"]["verified"]) == ("succeeded", 101)


async def confirmed_at_once(api: Api, request_id: str, users: int) -> Reply:
    """The first answer to a confirmation that is not 409, asking without a pause."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reply = await api.say(request_id, "confirm", {"users": users})
        if reply.status != 409:
            return reply
    raise AssertionError("never held")


async def test_what_is_not_held_cannot_be_confirmed(bulk: App, numbers: Callable[[], int]) -> None:
    """A finished request says 409, an unknown one 404, and a malformed body 400 with the place."""
    person = await bulk.tenant.new_user(f"free{numbers()}@contoso.com")
    request_id = (await bulk.api.submit({"user": person["id"]})).json["id"]
    assert (await bulk.api.say(request_id, "confirm", {"users": 1})).status == 409
    assert (await bulk.api.say("fe5df26e7595-" + "0" * 32, "confirm", {"users": 1})).status == 404
    for body, pointer in (({"users": "1"}, "/users"), ({}, "/users"), ([], ""), ({"users": 1, "user": 1}, "/user")):
        reply = await bulk.api.say(request_id, "confirm", body)
        assert (reply.status, [fault["pointer"] for fault in reply.json["errors"]]) == (400, [pointer])
    assert (await bulk.api.call("POST", f"revocations/{request_id}/confirm", data='{"users": 1}')).status == 401


@pytest.mark.parametrize(("expected", "word"), [(110, "succeeded"), (500, "succeeded"), (109, "held")])
async def test_expected_users_confirms_in_advance_up_to_its_number(
    bulk: App, numbers: Callable[[], int], expected: int, word: str
) -> None:
    """As many or fewer run unheld; one more than expected is held, and nobody is revoked."""
    members = await bulk.tenant.people(110, f"expected{numbers()}")
    group = await bulk.tenant.group(members)
    reply = await bulk.api.submit({"groups": [group], "expectedUsers": expected})
    done = await bulk.api.finished(reply.json["id"])
    assert done.json["status"] == word
    served = Counter(entry["userId"] for entry in await bulk.tenant.served(*members))
    assert served == (Counter() if word == "held" else Counter(members))


async def test_a_dry_run_of_a_large_group_is_planned_and_never_held(bulk: App, numbers: Callable[[], int]) -> None:
    """It is how to look before confirming; nobody is sent."""
    members = await bulk.tenant.people(130, f"dry{numbers()}")
    reply = await bulk.api.submit({"groups": [await bulk.tenant.group(members)], "dryRun": True})
    done = await bulk.api.finished(reply.json["id"])
    assert (done.json["status"], done.json["counts"]["planned"], summed(done.json["counts"])) == ("planned", 130, 130)
    assert await bulk.tenant.served(*members) == []


async def test_a_held_request_that_is_cancelled_revokes_nobody(bulk: App, numbers: Callable[[], int]) -> None:
    """Every user ends as skipped, and it cannot be confirmed any more."""
    found, members = await held(bulk, f"nobody{numbers()}")
    assert (await bulk.api.say(found.json["id"], "cancel")).status == 202
    done = await bulk.api.reaches(found.json["id"], "cancelled")
    assert done.json["counts"] | {"total": 120, "skipped": 120, "pending": 0} == done.json["counts"]
    assert {user["error"]["code"] for user in done.json["users"]} == {"cancelled"}
    assert (await bulk.api.say(found.json["id"], "confirm", {"users": 120})).status == 409
    assert await bulk.tenant.served(*members) == []


async def test_a_cancelled_request_stops_within_the_calls_in_flight(bulk: App, numbers: Callable[[], int]) -> None:
    """No call leaves once the cancel was answered; who was sent is proven, everybody else is skipped."""
    latency = 0.5
    await bulk.tenant.post("config", {"latencyMs": latency * 1000})
    members = await bulk.tenant.people(1500, f"stop{numbers()}")
    request_id = (await bulk.api.submit({"users": members})).json["id"]
    wanted = set(members)

    async def served() -> list[dict[str, Any]]:
        return [entry for entry in await bulk.tenant.served() if entry["userId"] in wanted]

    await until(served, lambda found: len(found) >= 100)
    listed = (await bulk.api.get("revocations?status=running")).json["value"]
    assert request_id in [entry["id"] for entry in listed]
    reply = await bulk.api.say(request_id, "cancel")
    answered_at = datetime.now(UTC)
    assert reply.status == 202
    done = (await bulk.api.reaches(request_id, "cancelled")).json
    entries = await served()
    late = [(datetime.fromisoformat(entry["at"]) - answered_at).total_seconds() for entry in entries]
    # A call is logged when it arrives, so one that had left by then may be logged a latency later.
    assert max(late) <= latency + 0.5
    assert sum(seconds > 0 for seconds in late) <= 8 * 20
    rows = await bulk.api.users(request_id)
    sent = {user["userId"] for user in rows if user["status"] == "verified"}
    rest = [user for user in rows if user["userId"] not in sent]
    assert Counter(entry["userId"] for entry in entries) == Counter(sent)
    assert {(user["status"], user["error"]["code"], user["attempts"]) for user in rest} == {("skipped", "cancelled", 0)}
    assert (done["counts"]["verified"], done["counts"]["skipped"]) == (len(sent), len(rest))
    assert len(rows) == summed(done["counts"]) == done["counts"]["total"] == 1500
    assert done["completedAt"] is not None
    again = await bulk.api.say(request_id, "cancel")
    assert (again.status, again.json["counts"], again.json["status"]) == (200, done["counts"], "cancelled")


async def test_cancelling_what_waits_behind_a_closed_gate(bulk: App, numbers: Callable[[], int]) -> None:
    """It does not have to wait for the gate to end as cancelled; nobody is revoked."""
    members = await bulk.tenant.people(60, f"gate{numbers()}")
    await bulk.tenant.post(
        "faults",
        {
            "match": {"path": "revokeSignInSessions"},
            "times": 20,
            "action": {"status": 429, "headers": {"Retry-After": "12"}},
        },
    )
    reply = await bulk.api.submit({"users": members})
    waiting = await until(lambda: bulk.api.get(f"revocations/{reply.json['id']}"), lambda r: bool(r.json["warnings"]))
    assert "slow down" in waiting.json["warnings"][0]
    began = time.monotonic()
    assert (await bulk.api.say(reply.json["id"], "cancel")).status == 202
    done = await bulk.api.reaches(reply.json["id"], "cancelled")
    assert time.monotonic() - began < 8
    assert done.json["counts"]["skipped"] == 60
    assert await bulk.tenant.served(*members) == []
    assert await bulk.tenant.violations() == 0


async def test_cancelling_a_finished_request_changes_nothing(bulk: App, numbers: Callable[[], int]) -> None:
    """200 with the same last word."""
    person = await bulk.tenant.new_user(f"late{numbers()}@contoso.com")
    request_id = (await bulk.api.submit({"user": person["id"]})).json["id"]
    done = await bulk.api.finished(request_id)
    reply = await bulk.api.say(done.json["id"], "cancel")
    assert (reply.status, reply.json) == (200, done.json)


async def test_cancelling_what_nobody_has_begun_revokes_nobody(bulk: App, numbers: Callable[[], int]) -> None:
    """The cancel follows the 202 at once: whoever takes the request finds it cancelled."""
    members = await bulk.tenant.people(200, f"begin{numbers()}")
    await bulk.tenant.post("config", {"latencyMs": 300})
    reply = await bulk.api.submit({"users": members})
    assert (await bulk.api.say(reply.json["id"], "cancel")).status in (200, 202)
    done = await bulk.api.reaches(reply.json["id"], "cancelled")
    assert done.json["counts"] | {"total": 200, "skipped": 200} == done.json["counts"]
    assert await bulk.tenant.served(*members) == []


async def test_failed_users_are_tried_again_as_a_linked_request(bulk: App, numbers: Callable[[], int]) -> None:
    """Only they, in a request of its own that names the first; one key makes it one request."""
    mark = numbers()
    members = await bulk.tenant.people(30, f"again{mark}")
    late = [f"late{mark}x{number}@contoso.com" for number in range(3)]
    reply = await bulk.api.submit({"users": [*members, *late], "reason": "INC-7"})
    early = await bulk.api.say(reply.json["id"], "retry")
    first = await bulk.api.finished(reply.json["id"])
    assert (first.json["status"], first.json["counts"]["failed"]) == ("partiallySucceeded", 3)
    assert early.status == 409
    for upn in late:
        await bulk.tenant.new_user(upn)
    retried = [await bulk.api.say(first.json["id"], "retry", Idempotency_Key=f"retry-{mark}") for _ in range(2)]
    (request_id,) = {reply.json["id"] for reply in retried}
    assert retried[0].status == 202
    assert retried[0].json["retryOf"] == first.json["id"] != request_id
    done = await bulk.api.finished(request_id)
    assert (done.json["status"], done.json["counts"]["total"], done.json["reason"]) == ("succeeded", 3, "INC-7")
    assert [user["userPrincipalName"] for user in done.json["users"]] == late
    assert (await bulk.api.get(f"revocations/{first.json['id']}")).json == first.json
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)
    none = await bulk.api.say(request_id, "retry")
    assert (none.status, none.headers["Content-Type"]) == (409, "application/problem+json")


async def test_found_users_who_were_never_released_are_not_reached_by_a_retry(
    bulk: App, numbers: Callable[[], int]
) -> None:
    """A group beside one that Graph does not know would get round the confirmation, as would one that was rejected."""
    mark = numbers()
    members = await bulk.tenant.people(150, f"unreleased{mark}")
    gone = f"8f5d1c2e-0000-4000-8000-{mark:012x}"
    group = await bulk.tenant.group(members)
    stopped = await bulk.api.submit({"groups": [group, gone]})
    rejected = await bulk.api.submit({"groups": [group], "users": [gone]})
    await bulk.api.reaches(rejected.json["id"], "held")
    await bulk.api.say(rejected.json["id"], "cancel")
    for reply, status, failed in ((stopped, "failed", 150), (rejected, "cancelled", 1)):
        done = (await bulk.api.reaches(reply.json["id"], status)).json
        assert done["counts"]["failed"] == failed
        assert (await bulk.api.say(done["id"], "retry")).status == 409
    assert "retry" not in (await bulk.api.get(f"revocations/{stopped.json['id']}")).json["links"]
    assert await bulk.tenant.served(*members) == []


async def test_whom_a_request_excluded_its_retry_excludes(bulk: App, numbers: Callable[[], int]) -> None:
    """Somebody who could not be found then, and so not be told from an excluded user, is still one of them."""
    mark = numbers()
    late, kept = f"later{mark}@contoso.com", "8f5d1c2e-0000-4000-8000-" + f"{mark:012x}"
    first = await bulk.api.submit({"users": [late, kept], "exclude": [late]})
    assert [user["error"]["code"] for user in first.json["users"]] == ["userNotFound", "userNotFound"]
    person = await bulk.tenant.new_user(late, id=kept)
    again = await bulk.api.say(first.json["id"], "retry")
    done = await bulk.api.finished(again.json["id"])
    assert (done.user["userPrincipalName"], done.user["error"]["code"]) == (late, "excluded")
    assert await bulk.tenant.served(person["id"]) == []
