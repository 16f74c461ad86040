import asyncio
import csv
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from clients import Api, App, Reply, left_early, send_message, summed, until

REVOKES = {"path": "revokeSignInSessions"}


async def submitted(bulk: App, members: list[str], **more: Any) -> str:
    """A large request, accepted."""
    reply = await bulk.api.submit({"users": members} | more)
    assert reply.status == 202, reply.text
    return str(reply.json["id"])


async def everybody_once(bulk: App, request_id: str, members: list[str], seconds: float = 120) -> dict[str, Any]:
    """The last word: all verified, and served exactly once by the tenant's own log."""
    done: dict[str, Any] = (await bulk.api.finished(request_id, seconds)).json
    counts = done["counts"]
    assert (done["status"], counts["verified"], counts["total"]) == ("succeeded", len(members), len(members)), counts
    served = Counter(entry["userId"] for entry in await bulk.tenant.served(*members))
    assert served == Counter(members)
    return done


async def test_two_thousand_named_users_with_live_counts_and_pages(bulk: App, numbers: Callable[[], int]) -> None:
    """At every look the counts add up and never go back; in the end each user was revoked once, as every page says."""
    members = await bulk.tenant.people(2000, f"list{numbers()}")
    await bulk.tenant.post("config", {"latencyMs": 30})
    request_id = await submitted(bulk, members)
    looks: list[Reply] = []

    async def look() -> Reply:
        looks.append(await bulk.api.get(f"revocations/{request_id}"))
        return looks[-1]

    await until(look, lambda reply: reply.status == 200, 120)
    done = await everybody_once(bulk, request_id, members)
    running = [reply.json for reply in looks if reply.status == 202]
    assert all(summed(reply.json["counts"]) == reply.json["counts"]["total"] == 2000 for reply in looks)
    sent = [2000 - reply.json["counts"]["pending"] for reply in looks]
    assert sent == sorted(sent)
    assert len(set(sent)) > 3
    assert any("estimatedCompletionAt" in content for content in running)
    assert all(content["links"]["cancel"] for content in running)
    assert "estimatedCompletionAt" not in done
    assert set(done["links"]) == {"self", "users"}
    assert len(done["users"]) == 100
    for query in ("pageSize=300", "pageSize=999&status=verified"):
        rows = await bulk.api.users(request_id, query)
        assert [user["userId"] for user in rows] == members
    assert await bulk.api.users(request_id, "status=failed") == []
    assert [row["userId"] for row in await csv_rows(bulk.api, request_id)] == members


async def csv_rows(api: Api, request_id: str) -> list[dict[str, str]]:
    """All users as CSV, page after page."""
    found: list[dict[str, str]] = []
    link = f"revocations/{request_id}/users?format=csv&pageSize=700"
    while link:
        page = await api.get(link)
        found += csv.DictReader(io.StringIO(page.text))
        following = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("Link", ""))
        link = following[1] if following else ""
    return found


async def test_a_very_long_list_is_accepted_at_once_and_can_be_cancelled(bulk: App) -> None:
    """202 within seconds; cancelled right away nobody is revoked, and every one of them has a row that says so."""
    ids = [str(UUID(int=number, version=4)) for number in range(10_000)]
    began = time.monotonic()
    reply = await bulk.api.submit({"users": ids})
    accepted = time.monotonic() - began
    assert reply.status == 202, reply.text
    assert accepted < 5
    request_id = reply.json["id"]
    assert (await bulk.api.say(request_id, "cancel")).status == 202
    done = (await bulk.api.reaches(request_id, "cancelled", 200)).json
    counts = done["counts"]
    assert counts["total"] == summed(counts) == counts["skipped"] + counts["failed"] == 10_000
    page = (await bulk.api.get(f"revocations/{request_id}/users?status=skipped&pageSize=5")).json["value"]
    assert {user["error"]["code"] for user in page} == {"cancelled"}


async def test_a_hundred_submits_with_one_key_are_one_request(bulk: App, numbers: Callable[[], int]) -> None:
    """One id in a hundred answers, one row, one revoke for each user; another body is a conflict."""
    members = await bulk.tenant.people(30, f"same{numbers()}")
    key = f"key-{members[0]}"
    replies = await asyncio.gather(
        *(bulk.api.submit({"users": members, "reason": key}, Idempotency_Key=key) for _ in range(100))
    )
    assert {reply.status for reply in replies} <= {200, 202}
    (request_id,) = {reply.json["id"] for reply in replies}
    await everybody_once(bulk, request_id, members)
    entries = (await bulk.api.get("revocations?pageSize=1000")).json["value"]
    assert [entry["id"] for entry in entries if entry["reason"] == key] == [request_id]
    other = await bulk.api.submit({"users": members[:29], "reason": key}, Idempotency_Key=key)
    assert other.status == 409


async def test_many_messages_with_one_key_are_one_request(bulk: App, numbers: Callable[[], int]) -> None:
    """A sender that repeats itself adds nothing."""
    members = await bulk.tenant.people(30, f"message{numbers()}")
    key = f"key-{members[0]}"
    text = json.dumps({"users": members, "reason": key, "idempotencyKey": key})
    await asyncio.gather(*(send_message(bulk.address["connectionString"], text) for _ in range(20)))
    found = await bulk.api.of_user(members[-1])
    await everybody_once(bulk, found.json["id"], members)
    entries = (await bulk.api.get("revocations?pageSize=1000")).json["value"]
    assert [entry["id"] for entry in entries if entry["reason"] == key] == [found.json["id"]]


async def test_lost_answers_and_server_errors_in_batches_are_settled_by_reading(
    bulk: App, numbers: Callable[[], int]
) -> None:
    """Answers vanish or are server errors after Graph has done the work, a whole batch fails without: nobody twice."""
    members = await bulk.tenant.people(800, f"lost{numbers()}")
    envelope = {"path": "batch", "scope": "envelope"}
    await bulk.tenant.post(
        "faults",
        [
            # Looking up, revoking and proving run side by side, so any of them may be struck.
            {"match": envelope, "after": 20, "action": {"status": 503}},
            {"match": envelope, "after": 42, "times": 2, "action": {"drop": "after"}},
            {"match": envelope, "after": 44, "action": {"missingItems": 4, "duplicateItems": 2}},
            {"match": REVOKES, "after": 500, "times": 7, "action": {"status": 500, "done": True}},
            {"match": REVOKES, "after": 500, "times": 7, "action": {"status": 504, "done": True}},
        ],
    )
    request_id = await submitted(bulk, members)
    await everybody_once(bulk, request_id, members)
    faults = await bulk.tenant.get("faults")
    assert all(fault["fired"] == fault["times"] for fault in faults), faults


async def test_a_lagging_cut_off_proves_more_users_than_fit_in_memory(bulk: App, numbers: Callable[[], int]) -> None:
    """1,200 users wait for their proof together; all end verified, none is sent again."""
    members = await bulk.tenant.people(1200, f"lag{numbers()}")
    await bulk.tenant.post("config", {"lagSeconds": 20})
    request_id = await submitted(bulk, members)
    done = await everybody_once(bulk, request_id, members, seconds=150)
    assert {user["attempts"] for user in done["users"]} == {1}


async def test_without_verify_a_large_list_is_revoked_and_not_read_back(bulk: App, numbers: Callable[[], int]) -> None:
    """Revoked is the last word for all of them, and a warning says that it is not proven."""
    members = await bulk.tenant.people(500, f"blind{numbers()}")
    request_id = await submitted(bulk, members, verify=False)
    done = (await bulk.api.finished(request_id)).json
    assert (done["status"], done["counts"]["revoked"], done["counts"]["verified"]) == ("succeeded", 500, 0)
    assert done["warnings"]
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)


async def test_throttling_in_the_middle_is_waited_out(bulk: App, numbers: Callable[[], int]) -> None:
    """Items of a batch are refused; nothing leaves before its Retry-After, and everybody is revoked once."""
    members = await bulk.tenant.people(600, f"throttled{numbers()}")
    refused = {"status": 429, "headers": {"Retry-After": "4"}}
    await bulk.tenant.post("faults", {"match": REVOKES, "after": 150, "times": 45, "action": refused})
    request_id = await submitted(bulk, members)
    await everybody_once(bulk, request_id, members)
    entries = [entry for entry in await bulk.tenant.get("revocations") if entry["userId"] in set(members)]
    assert [entry["status"] for entry in entries].count(429) == 45
    assert left_early(entries, pause=4) == []
    rows = await bulk.api.users(request_id)
    assert sum(user["attempts"] for user in rows) == 645
