from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator

DEVICE = "00000000-0000-4000-8000-00000000d001"


async def members(sim: Simulator, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    link: str | None = path
    while link:
        content = (await sim.graph("GET", link)).json
        found += content["value"]
        link = content.get("@odata.nextLink")
    return found


async def test_a_large_nested_group_with_everything_in_it_comes_in_pages(sim: Simulator) -> None:
    """5,000 users made by one call, guests and disabled ones among them, beside devices and a circle of groups."""
    people = [{"userPrincipalName": f"bulk{number}@contoso.com"} for number in range(4_990)]
    people += [{"userPrincipalName": f"out{n}_x.com#EXT#@contoso.com", "creationType": "Invitation"} for n in range(5)]
    people += [{"userPrincipalName": f"off{n}@contoso.com", "accountEnabled": False} for n in range(5)]
    added = (await sim.call("POST", "/_sim/users", body=people)).json
    ids = [user["id"] for user in added]
    assert len(set(ids)) == 5_000
    outer, inner = "00000000-0000-4000-8000-00000000aaaa", "00000000-0000-4000-8000-00000000bbbb"
    for identity, inside, other in ((outer, ids[:2_500], inner), (inner, ids[2_400:], outer)):
        body = {
            "id": identity,
            "displayName": identity,
            "members": [*inside, {"type": "group", "id": other}, {"type": "device", "id": DEVICE}],
        }
        assert (await sim.call("POST", "/_sim/groups", body=body)).status == 201
    found = await members(sim, f"/groups/{outer}/transitiveMembers?$select=id&$top=999")
    kinds = Counter(item["@odata.type"].rpartition(".")[2] for item in found)
    assert kinds == {"user": 5_000, "group": 2, "device": 1}
    assert {item["id"] for item in found} == {*ids, outer, inner, DEVICE}
    direct = await members(sim, f"/groups/{outer}/members?$top=999")
    assert len(direct) == 2_502


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"displayName": "x", "members": ["nobody@contoso.com"]},
        {"displayName": "x", "members": [{"type": "robot", "id": DEVICE}]},
        {"displayName": "x", "members": "adele@contoso.com"},
        {"displayName": "x", "visibility": 5},
    ],
)
async def test_a_group_that_cannot_be_is_refused(sim: Simulator, body: dict[str, Any]) -> None:
    """400 with a sentence, and no group."""
    before = len(await sim.truth("groups"))
    reply = await sim.call("POST", "/_sim/groups", body=body)
    assert (reply.status, len(await sim.truth("groups"))) == (400, before)


async def test_a_group_can_be_hidden_and_removed(sim: Simulator) -> None:
    """Its members show with the permission only; once removed it is not found."""
    group = (
        await sim.call(
            "POST",
            "/_sim/groups",
            body={"displayName": "x", "members": ["adele@contoso.com"], "visibility": "HiddenMembership"},
        )
    ).json
    assert len(await members(sim, f"/groups/{group['id']}/members")) == 1
    await sim.configure(grantedRoles=["GroupMember.Read.All"])
    assert await members(sim, f"/groups/{group['id']}/members") == []
    assert (await sim.call("DELETE", f"/_sim/groups/{group['id']}")).status == 204
    assert (await sim.graph("GET", f"/groups/{group['id']}/members")).status == 404


async def test_a_deleted_user_leaves_its_groups(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Graph lists no member that is gone; a user that is only written anew stays one."""
    path = f"/groups/{id_of('group:HP team')}/members"
    await sim.call("POST", "/_sim/users", body={"userPrincipalName": "adele@contoso.com"})
    assert len(await members(sim, path)) == 2
    await sim.call("DELETE", f"/_sim/users/{id_of('adele@contoso.com')}")
    assert [item["userPrincipalName"] for item in await members(sim, path)] == ["carol@contoso.com"]


async def test_a_short_page_costs_one_unit_less(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Graph's price list: transitive members 5, less one for $select, less one for a $top below 20."""
    path = f"/groups/{id_of('group:HP team')}/transitiveMembers"
    prices = [
        (await sim.graph("GET", path + query)).headers["x-ms-resource-unit"]
        for query in ("", "?$select=id", "?$select=id&$top=19", "?$top=20")
    ]
    assert prices == ["5", "4", "3", "5"]
