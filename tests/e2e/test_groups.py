from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from clients import Api, App, Tenant, regrant, send_message, summed, until

UNKNOWN = "8f5d1c2e-0000-4000-8000-00000000abcd"


async def done_with(api: Api, content: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """The last word on a request that is carried out behind a 202."""
    reply = await api.submit(content)
    assert reply.status == 202, reply.text
    done: dict[str, Any] = (await api.finished(reply.json["id"], seconds)).json
    return done


async def nest(tenant: Tenant, mark: str) -> tuple[str, list[str], list[str], list[str]]:
    """A group in a group that holds the first one; who is a direct member, who an indirect one, who was invited."""
    direct = await tenant.people(25, f"{mark}direct")
    disabled = await tenant.people(1, f"{mark}disabled", accountEnabled=False)
    invited = await tenant.people(2, f"{mark}_x.com#EXT#", creationType="Invitation", userType="Guest")
    deep = await tenant.people(30, f"{mark}deep")
    outer, inner = (f"8f5d1c2e-0000-4000-8000-{mark.encode().hex()[-10:]:0>10}{end}" for end in ("0a", "0b"))
    device = {"type": "device", "id": UNKNOWN}
    holds_outer = {"type": "group", "id": outer}
    await tenant.group([*deep, direct[0], device, holds_outer, invited[0]], id=inner)
    await tenant.group([*direct, *disabled, inner, device, *invited], id=outer)
    return outer, [*direct, *disabled], deep, invited


async def test_a_group_is_its_distinct_user_members_whatever_is_nested(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """Short pages, a cycle, devices: every member once, disabled ones too; who was invited is named and not sent."""
    group, direct, deep, invited = await nest(tenant, f"nest{numbers()}")
    await tenant.post("config", {"largestPage": 7})
    done = await done_with(api, {"groups": [group]})
    rows = await api.users(done["id"])
    told = {user["userId"]: user.get("error", {}).get("code") or user["status"] for user in rows}
    assert told == dict.fromkeys([*direct, *deep], "verified") | dict.fromkeys(invited, "externalUser")
    assert len(rows) == len(told) == done["counts"]["total"]
    assert done["status"] == "partiallySucceeded"
    served = Counter(entry["userId"] for entry in await tenant.served(*told))
    assert served == Counter([*direct, *deep])


async def test_direct_members_alone_are_hit_when_that_is_asked(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """What Get-MgGroupMember lists: nobody of the nested group."""
    group, direct, deep, invited = await nest(tenant, f"flat{numbers()}")
    done = await done_with(api, {"groups": [group.upper()], "transitive": False})
    assert {user["userId"] for user in await api.users(done["id"])} == {*direct, *invited}
    assert await tenant.served(*deep) == []


async def test_twelve_hundred_members_are_each_revoked_once(bulk: App) -> None:
    """More than one page of Graph and many transactions, confirmed in advance; the rows are what the tenant logged."""
    members = await bulk.tenant.people(1200, "crowd")
    group = await bulk.tenant.group(members)
    done = await done_with(bulk.api, {"groups": [group], "expectedUsers": 1200}, seconds=150)
    assert (done["status"], done["counts"]["verified"], summed(done["counts"])) == ("succeeded", 1200, 1200)
    rows = await bulk.api.users(done["id"])
    assert sorted(user["userId"] for user in rows) == sorted(members)
    served = await bulk.tenant.served(*members)
    assert Counter(entry["userId"] for entry in served) == Counter(members)
    assert {entry["requestId"] for entry in served} == {user["graphRequestId"] for user in rows}


async def test_several_groups_users_and_exclusions_are_folded_together(
    api: Api, tenant: Tenant, numbers: Callable[[], int]
) -> None:
    """Whoever is named in several ways is one row; the excluded and the protected are rows that are never sent."""
    mark = f"fold{numbers()}"
    ids = await tenant.people(30, mark)
    guarded = next(user for user in await tenant.get("users") if user["userPrincipalName"] == "breakglass@contoso.com")
    first = await tenant.group([*ids[:20], guarded["id"]])
    second = await tenant.group(ids[10:])
    content = {
        "users": [f"{mark}00000@contoso.com", ids[0], ids[29].upper()],
        "groups": [first, second, first.upper()],
        "exclude": [f"{mark.upper()}00001@contoso.com"],
    }
    done = await done_with(api, content)
    rows = await api.users(done["id"])
    assert [user["userId"] for user in rows[:2]] == [ids[0], ids[29]]
    codes = {user["userId"]: user["error"]["code"] for user in rows if "error" in user}
    assert codes == {ids[1]: "excluded", guarded["id"]: "protected"}
    # Named: 3 users, 21 members, 20 members; 31 of them are different.
    assert done["counts"] | {"total": 31, "duplicates": 13, "verified": 29, "skipped": 2} == done["counts"]
    assert done["status"] == "partiallySucceeded"
    served = Counter(entry["userId"] for entry in await tenant.served(*ids, guarded["id"]))
    assert served == Counter([ids[0], *ids[2:]])


async def test_an_unknown_group_fails_the_whole_request(api: Api, tenant: Tenant, person: dict[str, Any]) -> None:
    """Not even the user named beside it is revoked, and the error says what to check."""
    done = await done_with(api, {"user": person["id"], "groups": [UNKNOWN]})
    assert (done["status"], done["error"]["code"]) == ("failed", "groupNotFound")
    assert done["error"]["hint"]
    assert done["counts"]["total"] == summed(done["counts"])
    assert {user["status"] for user in done["users"]} <= {"failed"}
    assert await tenant.served(person["id"]) == []


async def test_an_empty_group_matched_nobody(api: Api, tenant: Tenant) -> None:
    """Nobody revoked is never called a success."""
    done = await done_with(api, {"groups": [await tenant.group([])]})
    assert (done["status"], done["error"]["code"], done["counts"]["total"]) == ("failed", "noUsersMatched", 0)


async def test_a_group_that_may_not_be_read_names_the_permission(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """The whole request fails with the command that grants GroupMember.Read.All."""
    group = await tenant.group([person["id"]])
    await tenant.grant("User.ReadWrite.All")
    done = await done_with(api, {"groups": [group]})
    assert (done["status"], done["error"]["code"]) == ("failed", "appPermissionMissing")
    assert "GroupMember.Read.All" in done["error"]["message"]
    assert "az rest --method POST" in done["error"]["hint"]
    assert await tenant.served(person["id"]) == []
    await regrant(api, tenant)


async def test_with_the_least_privilege_a_groups_members_are_revoked_unproven(
    bulk: App, numbers: Callable[[], int]
) -> None:
    """One permission finds them, the other revokes them; revoked is the last word, and a warning says why."""
    members = await bulk.tenant.people(60, f"least{numbers()}")
    group = await bulk.tenant.group(members)
    await bulk.tenant.grant("User.RevokeSessions.All", "GroupMember.Read.All")
    done = await done_with(bulk.api, {"groups": [group]})
    assert (done["status"], done["counts"]["revoked"], done["counts"]["verified"]) == ("succeeded", 60, 0)
    assert "User.Read.All" in done["warnings"][0]
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(*members)) == Counter(members)
    await regrant(bulk.api, bulk.tenant)


async def test_nobody_who_may_be_excluded_is_revoked(bulk: App, numbers: Callable[[], int]) -> None:
    """Where the app may not read users, an id and a UPN cannot be told to be one person: then neither is sent."""
    mark = f"unclear{numbers()}"
    kept, *others = await bulk.tenant.people(3, mark)
    group = await bulk.tenant.group([kept, *others])
    await bulk.tenant.grant("User.RevokeSessions.All", "GroupMember.Read.All")
    by_name = await done_with(bulk.api, {"groups": [group], "exclude": [f"{mark}00000@contoso.com"]})
    assert {(user["status"], user["error"]["code"]) for user in by_name["users"]} == {
        ("failed", "appPermissionMissing")
    }
    assert "by object id" in by_name["users"][0]["error"]["hint"]
    again = await bulk.api.say(by_name["id"], "retry")
    assert (await bulk.api.finished(again.json["id"])).json["counts"]["failed"] == 3
    by_id = await bulk.api.submit({"users": [f"{mark}00000@contoso.com", others[0]], "exclude": [kept]})
    assert [user["status"] for user in by_id.json["users"]] == ["failed", "revoked"]
    clear = await done_with(bulk.api, {"groups": [group], "exclude": [kept.upper()]})
    assert [user["status"] for user in clear["users"]] == ["skipped", "revoked", "revoked"]
    assert Counter(entry["userId"] for entry in await bulk.tenant.served(kept, *others)) == Counter(
        [others[0], *others]
    )
    await regrant(bulk.api, bulk.tenant)


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("department eq '{mark}'", 30),
        ("department eq '{mark}' and accountEnabled eq false", 0),
        ("department eq '{mark}' and jobTitle ne 'Lead'", 20),
        ("department eq '{mark}' and endsWith(userPrincipalName,'@contoso.com')", 30),
    ],
    ids=["eq", "nobody", "ne", "endsWith"],
)
async def test_a_filter_hits_whom_it_matches(
    api: Api, tenant: Tenant, numbers: Callable[[], int], text: str, hit: int
) -> None:
    """Also where Graph wants an advanced query for it; nobody else is touched."""
    mark = f"filter{numbers()}"
    leads = await tenant.people(10, f"{mark}lead", department=mark, jobTitle="Lead")
    rest = await tenant.people(20, f"{mark}rest", department=mark, jobTitle="Clerk")
    done = await done_with(api, {"filter": text.format(mark=mark)})
    expected = {0: [], 20: rest, 30: [*leads, *rest]}[hit]
    assert sorted(user["userId"] for user in done["users"]) == sorted(expected)
    assert done["status"] == ("succeeded" if hit else "failed")
    assert Counter(entry["userId"] for entry in await tenant.served(*leads, *rest)) == Counter(expected)


async def test_a_refused_filter_is_a_fault_of_the_request(api: Api, tenant: Tenant) -> None:
    """Over HTTP it is told at once, with the field, in Graph's own words; nothing is left behind."""
    before = (await api.get("revocations?pageSize=1")).json["value"]
    reply = await api.submit({"filter": "nonsense ~~ 'x'"})
    assert reply.status == 400, reply.text
    assert [fault["pointer"] for fault in reply.json["errors"]] == ["/filter"]
    after = (await api.get("revocations?pageSize=1")).json["value"]
    assert [entry["id"] for entry in after] == [entry["id"] for entry in before]
    # While Graph cannot be asked, nothing is known against a filter.
    await tenant.post("faults", {"match": {"path": "^/users$", "method": "GET"}, "action": {"status": 503}})
    assert (await api.submit({"filter": "accountEnabled eq false and department eq 'Nowhere'"})).status == 202


async def test_a_refused_filter_in_a_message_is_a_failed_row(api: Api, connection: str, person: dict[str, Any]) -> None:
    """The queue has nobody to answer: the request says it, and the user named beside the filter is not touched."""
    await send_message(connection, f'{{"user": "{person["id"]}", "filter": "nonsense ~~ \'{person["id"]}\'"}}')

    async def rows() -> list[dict[str, Any]]:
        entries = (await api.get("revocations?status=failed&pageSize=1000")).json["value"]
        return [entry for entry in entries if entry.get("error", {}).get("code") == "invalidFilter"]

    (entry,) = await until(rows, bool)
    assert entry["source"] == "queue"
    assert (await api.users(entry["id"], "status=verified")) == []
