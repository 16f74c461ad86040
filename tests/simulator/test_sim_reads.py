from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from local.simulator.directory import object_id, on_premises_sid, security_identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Simulator

EVENTUAL = {"ConsistencyLevel": "eventual"}


async def names(sim: Simulator, text: str, *, more: str = "", headers: dict[str, str] | None = None) -> set[str]:
    path = f"/users?$filter={quote(text)}&$select=userPrincipalName&$top=999{more}"
    return {user["userPrincipalName"] for user in (await sim.graph("GET", path, headers=headers)).json["value"]}


async def pages(sim: Simulator, path: str) -> list[list[dict[str, Any]]]:
    found, link = [], path
    while link:
        content = (await sim.graph("GET", link)).json
        found.append(content["value"])
        link = content.get("@odata.nextLink", "")
    return found


async def test_only_the_default_properties_come_unasked(sim: Simulator) -> None:
    """The cut-off and the kind of user must be selected."""
    user = (await sim.graph("GET", "/users/adele@contoso.com")).json
    assert set(user) == {
        *("@odata.context", "id", "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone"),
        *("officeLocation", "preferredLanguage", "surname", "userPrincipalName"),
    }


async def test_selected_properties_are_the_only_ones(sim: Simulator) -> None:
    """An external user shows where it comes from, when asked."""
    path = "/users/guest_fabrikam.com%23EXT%23@contoso.com?$select=userType,creationType,externalUserState,identities"
    user = (await sim.graph("GET", path)).json
    user.pop("@odata.context")
    identities = user.pop("identities")
    assert user == {"userType": "Guest", "creationType": "Invitation", "externalUserState": "Accepted"}
    assert [one["issuer"] for one in identities] == ["ExternalAzureAD", "contoso.onmicrosoft.com"]


async def test_a_security_identifier_follows_from_the_object_id(sim: Simulator) -> None:
    """As Entra derives it; that of Active Directory comes with accounts that are synchronised from there."""
    person = {
        "id": "73d664e4-0886-4a73-b745-c694da45ddb4",
        "userPrincipalName": "synced@contoso.com",
        "onPremisesSyncEnabled": True,
    }
    await sim.call("POST", "/_sim/users", body=person)
    path = f"/users/{person['id']}?$select=securityIdentifier,onPremisesSecurityIdentifier"
    user = (await sim.graph("GET", path)).json
    assert user["securityIdentifier"] == "S-1-12-1-1943430372-1249052806-2496021943-3034400218"
    assert user["onPremisesSecurityIdentifier"].startswith("S-1-5-21-")
    wanted = quote(f"onPremisesSecurityIdentifier eq '{user['onPremisesSecurityIdentifier']}'")
    query = f"/users?$select=id&$filter={wanted}"
    assert [one["id"] for one in (await sim.graph("GET", query)).json["value"]] == [person["id"]]
    ordinary = "/users/adele@contoso.com?$select=onPremisesSecurityIdentifier"
    assert (await sim.graph("GET", ordinary)).json["onPremisesSecurityIdentifier"] is None


async def test_a_basic_reader_may_not_see_the_cut_off(sim: Simulator) -> None:
    """User.ReadBasic.All reads a user, and not when its sessions begin."""
    await sim.configure(grantedRoles=["User.ReadBasic.All"])
    assert (await sim.graph("GET", "/users/adele@contoso.com")).status == 200
    refused = await sim.graph("GET", "/users/adele@contoso.com?$select=id,signInSessionsValidFromDateTime")
    assert (refused.status, refused.message) == (403, "Insufficient privileges to complete the operation.")


async def test_pages_hold_a_hundred_and_link_on_the_callers_host(sim: Simulator) -> None:
    """234 users make three pages; every link is absolute and no user comes twice."""
    link = (await sim.graph("GET", "/users")).json["@odata.nextLink"]
    assert link.startswith(f"{sim.root}/v1.0/users?")
    assert "skiptoken" in link
    found = await pages(sim, "/users")
    assert [len(page) for page in found] == [100, 100, 34]
    assert len({user["id"] for page in found for user in page}) == 234


@pytest.mark.parametrize("size", ["0", "1000", "many"])
async def test_a_page_size_out_of_range_is_refused(sim: Simulator, size: str) -> None:
    """400 with Graph's text."""
    reply = await sim.graph("GET", f"/users?$top={size}")
    assert reply.status == 400
    assert reply.message == f"Invalid page size specified: '{size}'. Must be between 1 and 999 inclusive."


async def test_a_page_may_be_empty_and_have_a_link(sim: Simulator) -> None:
    """`emptyPages` puts pages without users before the first, and no user is lost."""
    await sim.configure(emptyPages=2)
    found = await pages(sim, "/users?$top=999")
    assert [len(page) for page in found] == [0, 0, 234]


async def test_a_page_token_can_expire(sim: Simulator) -> None:
    """`pageTokenLifeSeconds: 0` refuses the next page as a large tenant sometimes does."""
    await sim.configure(pageTokenLifeSeconds=0)
    link = (await sim.graph("GET", "/users")).json["@odata.nextLink"]
    reply = await sim.graph("GET", link)
    assert (reply.status, reply.code) == (400, "Directory_ExpiredPageToken")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("userPrincipalName eq 'ADELE@contoso.com'", {"adele@contoso.com"}),
        ("displayName eq 'Conor O''Neil'", {"conor.o'neil@contoso.com"}),
        ("accountEnabled eq false", {"dora.disabled@contoso.com"}),
        ("startswith(userPrincipalName,'team0') and not_used", None),
        ("mail in ('bob@contoso.com','carol@contoso.com')", {"bob@contoso.com", "carol@contoso.com"}),
        (
            "userType eq 'Guest' and (creationType eq null or displayName eq 'x')",
            {"local.guest@contoso.com"},
        ),
    ],
)
async def test_common_filters_work_without_conditions(sim: Simulator, text: str, expected: set[str] | None) -> None:
    """Names compare without case; a filter that cannot be read is 400 BadRequest."""
    if expected is None:
        reply = await sim.graph("GET", f"/users?$filter={quote(text)}")
        assert reply.status == 400
    else:
        assert await names(sim, text) == expected


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        ("endsWith", "endsWith(mail,'neil@contoso.com')"),
        ("ne", "department ne 'Sales'"),
        ("not", "not startswith(displayName,'User')"),
    ],
)
async def test_advanced_filters_need_both_conditions(sim: Simulator, operator: str, text: str) -> None:
    """Header alone or count alone is refused with Graph's text; together they work."""
    path = f"/users?$filter={quote(text)}"
    for path_, headers in ((path, EVENTUAL), (f"{path}&$count=true", {})):
        reply = await sim.graph("GET", path_, headers=headers)
        assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")
        assert reply.message.startswith(f"Operator '{operator}' is not supported because the required parameters")
    assert await names(sim, text, more="&$count=true", headers=EVENTUAL)


SHARED = "helpdesk@contoso.com"
BOTH_CASES = f"proxyAddresses/any(p:p eq 'smtp:{SHARED}') or proxyAddresses/any(p:p eq 'SMTP:{SHARED}')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail eq 'Erin.Ferris@contoso.com'", {"erin@contoso.com"}),
        ("proxyAddresses/any(p:p eq 'SMTP:eferris@contoso.com')", {"erin@contoso.com"}),
        (f"mail eq '{SHARED}'", {"desk.one@contoso.com"}),
        (f"mail eq '{SHARED}' or {BOTH_CASES}", {"desk.one@contoso.com", "desk.two@contoso.com"}),
        (f"onPremisesSecurityIdentifier eq '{on_premises_sid('erin@contoso.com')}'", {"erin@contoso.com"}),
        (f"securityIdentifier eq '{security_identifier(object_id('bob@contoso.com'))}'", {"bob@contoso.com"}),
        ("onPremisesSecurityIdentifier eq 'S-1-5-21-1004336348-1177238915-682003330-9999'", set()),
    ],
)
async def test_users_are_found_by_sid_and_mail_address(sim: Simulator, text: str, expected: set[str]) -> None:
    """Without conditions, and without regard to case."""
    assert await names(sim, text) == expected


async def test_what_is_not_known_of_these_filters_is_configurable(sim: Simulator) -> None:
    """Whether Entra's own SID needs an advanced query or takes no filter, and whether case counts in addresses."""
    sid = f"securityIdentifier eq '{security_identifier(object_id('bob@contoso.com'))}'"
    await sim.configure(securityIdentifierFilter="advanced", proxyAddressCase="exact")
    reply = await sim.graph("GET", f"/users?$filter={quote(sid)}")
    assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")
    assert await names(sim, sid, more="&$count=true", headers=EVENTUAL) == {"bob@contoso.com"}
    assert await names(sim, f"proxyAddresses/any(p:p eq 'smtp:{SHARED}')") == {"desk.two@contoso.com"}
    assert await names(sim, BOTH_CASES) == {"desk.one@contoso.com", "desk.two@contoso.com"}
    await sim.configure(securityIdentifierFilter="refuse")
    reply = await sim.graph("GET", f"/users?$filter={quote(sid)}&$count=true", headers=EVENTUAL)
    assert (reply.status, reply.code) == (400, "Request_UnsupportedQuery")


async def test_a_filter_on_the_cut_off_is_not_supported(sim: Simulator) -> None:
    """It can be read, and not be searched for."""
    text = quote("signInSessionsValidFromDateTime ge 2026-01-01T00:00:00Z")
    assert (await sim.graph("GET", f"/users?$filter={text}")).status == 400


async def test_search_needs_the_header(sim: Simulator) -> None:
    """400 with Graph's text."""
    reply = await sim.graph("GET", "/users?$search=%22displayName:Adele%22")
    assert reply.message == (
        "Request with $search query parameter only works through MSGraph with a special request header: "
        "'ConsistencyLevel: eventual'"
    )


async def test_the_count_comes_on_the_first_page_only(sim: Simulator) -> None:
    """And only with the header: without it `$count=true` is ignored."""
    first = (await sim.graph("GET", "/users?$count=true", headers=EVENTUAL)).json
    second = (await sim.graph("GET", first["@odata.nextLink"], headers=EVENTUAL)).json
    plain = (await sim.graph("GET", "/users?$count=true")).json
    assert (first["@odata.count"], "@odata.count" in second, "@odata.count" in plain) == (234, False, False)


async def test_groups_are_found_by_name(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Zero, one or many groups have a name."""
    found = (await sim.graph("GET", f"/groups?$filter={quote("displayName eq 'hp team'")}")).json["value"]
    assert [group["id"] for group in found] == [id_of("group:HP team")]
    none = (await sim.graph("GET", f"/groups?$filter={quote("displayName eq 'none'")}")).json["value"]
    assert none == []


async def test_transitive_members_come_once_through_a_cycle(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Two groups that hold each other: every user once, direct members fewer."""
    group = id_of("group:All of HP")
    deep = (await sim.graph("GET", f"/groups/{group}/transitiveMembers")).json["value"]
    users = [item["id"] for item in deep if item["@odata.type"] == "#microsoft.graph.user"]
    assert sorted(users) == sorted(id_of(f"{name}@contoso.com") for name in ("adele", "bob", "carol"))
    direct = (await sim.graph("GET", f"/groups/{group}/members")).json["value"]
    assert {item["@odata.type"] for item in direct} == {"#microsoft.graph.user", "#microsoft.graph.group"}
    assert len(direct) == 3


async def test_members_carry_their_types_and_a_cast_keeps_users(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """Devices and applications are distinguished by type; the cast needs both conditions."""
    path = f"/groups/{id_of('group:Mixed')}/transitiveMembers"
    plain = (await sim.graph("GET", f"{path}?$select=id")).json["value"]
    assert {item["@odata.type"].rpartition(".")[2] for item in plain} == {"user", "device", "servicePrincipal"}
    assert (await sim.graph("GET", f"{path}/microsoft.graph.user")).status == 400
    cast = (await sim.graph("GET", f"{path}/microsoft.graph.user?$count=true", headers=EVENTUAL)).json
    assert cast["@odata.count"] == len(cast["value"]) == 3


async def test_a_hidden_membership_shows_nobody_without_its_permission(
    sim: Simulator, id_of: Callable[[str], str]
) -> None:
    """An empty page, not an error."""
    path = f"/groups/{id_of('group:Hidden')}/members"
    assert len((await sim.graph("GET", path)).json["value"]) == 1
    await sim.configure(grantedRoles=["GroupMember.Read.All", "User.Read.All"])
    reply = await sim.graph("GET", path)
    assert (reply.status, reply.json["value"]) == (200, [])


async def test_who_may_not_read_users_sees_type_and_id(sim: Simulator, id_of: Callable[[str], str]) -> None:
    """GroupMember.Read.All alone is enough for ids; no permission at all is 403."""
    path = f"/groups/{id_of('group:HP team')}/members"
    await sim.configure(grantedRoles=["GroupMember.Read.All"])
    assert {frozenset(item) for item in (await sim.graph("GET", path)).json["value"]} == {
        frozenset({"@odata.type", "id"})
    }
    await sim.configure(grantedRoles=["User.ReadWrite.All"])
    assert (await sim.graph("GET", path)).status == 403
