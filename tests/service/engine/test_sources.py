from __future__ import annotations

from itertools import batched
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listing import HP_TEAM, NOBODYS, code, ids, of_group, people

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.problems import Problem
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import Counts, UserRow, UserStatus

if TYPE_CHECKING:
    from listing import Directory, Reading


ALL_OF_HP = object_id("group:All of HP")
MIXED = object_id("group:Mixed")
HIDDEN = object_id("group:Hidden")
DEVICE = {"type": "device", "id": "00000000-0000-4000-8000-00000000d001"}


async def test_sources_come_in_their_order(reading: Reading) -> None:
    """Named users, groups as they were given, the filter; who is meant twice comes twice."""
    request = RevocationRequest(
        users=NamedUsers(["bob@contoso.com", "team01@contoso.com"]),
        groups=(MIXED, HP_TEAM),
        filter="displayName eq 'Adele Vance'",
    )
    pages = await reading.pages(request)
    mixed = people("adele", "guest_fabrikam.com#EXT#", "dora.disabled")
    assert [[user.text for user in page.users] for page in pages] == [
        ["bob@contoso.com", "team01@contoso.com"],
        mixed,
        people("adele", "carol"),
        people("adele"),
    ]


async def test_a_request_that_names_nobody_has_one_empty_page(reading: Reading) -> None:
    """It ends at once."""
    (page,) = await reading.pages(RevocationRequest())
    assert (page.users, page.checkpoint) == ([], None)


async def test_a_large_nested_group_is_read_whole(reading: Reading, directory: Directory) -> None:
    """5,000 users with guests and disabled ones, a circle of groups, devices between them: every user, nothing else."""
    ordinary = await directory.people(4_800, "bulk")
    guests = await directory.people(100, "guest", userType="Guest", creationType="Invitation")
    disabled = await directory.people(100, "off", accountEnabled=False)
    outer, inner = NOBODYS, NOBODYS.replace("ff", "fe")
    await directory.group("outer", [*ordinary[:3_000], DEVICE, {"type": "group", "id": inner}], id=outer)
    await directory.group("inner", [*ordinary[2_500:], *guests, *disabled, {"type": "group", "id": outer}], id=inner)
    pages = await reading.pages(of_group(outer))
    assert sorted(ids(pages)) == sorted([*ordinary, *guests, *disabled])
    assert max(len(page.users) for page in pages) <= 999
    assert ids(await reading.pages(of_group(outer, transitive=False))) == ordinary[:3_000]


async def test_a_hidden_membership_shows_nobody(reading: Reading) -> None:
    """Graph answers with an empty list where the app lacks Member.Read.Hidden: that is no fault of the request."""
    assert ids(await reading.pages(of_group(HIDDEN))) == []


async def test_empty_pages_do_not_end_a_list(reading: Reading, directory: Directory) -> None:
    """A page without users may still lead on."""
    await directory.configure(emptyPages=3)
    pages = await reading.pages(of_group(HP_TEAM, filter="department eq 'HP'"))
    assert ids(pages) == people("adele", "carol", "adele", "carol")
    assert len(pages) == 8


async def test_without_the_right_to_read_users_ids_are_enough(reading: Reading, directory: Directory) -> None:
    """A member is told by type and id."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All", "GroupMember.Read.All"])
    assert ids(await reading.pages(of_group(MIXED))) == people("adele", "guest_fabrikam.com#EXT#", "dora.disabled")


async def test_large_named_lists_are_read_part_by_part(reading: Reading) -> None:
    """In the order named, from storage as from memory, and at most 999 at a time."""
    names = [f"user{number}@contoso.com" for number in range(4_321)]
    fresh = RevocationRequest(users=NamedUsers(names), groups=(HP_TEAM,))
    request_id, stored = await reading.stored(fresh)
    assert not stored.users
    for request in (fresh, stored):
        pages = await reading.pages(request, request_id=request_id)
        assert ids(pages) == names + people("adele", "carol")
        assert max(len(page.users) for page in pages) <= 999


async def test_a_checkpoint_of_a_fresh_request_serves_the_stored_one(reading: Reading) -> None:
    """Whoever takes over reads the request from storage."""
    fresh = RevocationRequest(users=NamedUsers(f"user{number}@contoso.com" for number in range(2_345)))
    request_id, stored = await reading.stored(fresh)
    first = await reading.only(fresh)
    rest = await reading.pages(stored, first.checkpoint, request_id=request_id)
    assert ids([first, *rest]) == [user.text for user in fresh.users]


async def test_a_lost_part_is_not_an_end(reading: Reading) -> None:
    """Users that were accepted and are not there any more are an error, never silence."""
    _, stored = await reading.stored(RevocationRequest(users=NamedUsers(["adele@contoso.com"] * 2_001)))
    page = await reading.only(stored)
    assert (code(page.refusal), page.users) == ("inputsLost", [])


async def test_a_retry_means_the_failed_users_of_the_other_request(reading: Reading) -> None:
    """By object id where it is known, else as they were given; the others are left alone."""
    earlier, _ = await reading.stored(RevocationRequest(users=NamedUsers(["adele@contoso.com"])))
    rows = [
        UserRow(
            position=place,
            given=f" user{place}@contoso.com",
            user_id=f"00000000-0000-4000-8000-{place:012d}" if place % 2 else None,
            status=UserStatus.FAILED if place % 3 else UserStatus.VERIFIED,
        )
        for place in range(1, 2_401)
    ]
    run = Run(request_id=earlier, counts=Counts())
    for some in batched(rows, 99, strict=False):
        run = await reading.log.save_run(run, some)
    pages = await reading.pages(RevocationRequest(retry_of=earlier))
    expected = [row.user_id or row.given.strip() for row in rows if row.status is UserStatus.FAILED]
    assert ids(pages) == expected
    assert pages[0].users[0].given == " user1@contoso.com"
    assert len(pages) > 1


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 60), empties=st.integers(0, 2))
async def test_every_checkpoint_leads_to_the_same_users(
    reading: Reading, directory: Directory, size: int, empties: int
) -> None:
    """Whatever the size of Graph's pages: reading on from any of them misses nobody and adds nobody."""
    await directory.configure(emptyPages=empties, largestPage=size)
    names = [f"user{number}@contoso.com" for number in range(1_100)]
    request = RevocationRequest(users=NamedUsers(names), groups=(ALL_OF_HP, MIXED), filter="department ne 'Nowhere'")
    pages = await reading.pages(request)
    for number, page in enumerate(pages[:-1]):
        again = await reading.only(request, page.checkpoint)
        assert again.users == pages[number + 1].users
        assert len(page.checkpoint or "") <= 30_000
    middle = len(pages) // 2
    resumed = await reading.pages(request, pages[middle].checkpoint)
    assert ids(pages[: middle + 1]) + ids(resumed) == ids(pages)
    assert {user.text for page in pages for user in page.users} > {*names, *people("adele", "bob", "carol", "team20")}


@pytest.mark.parametrize("position", [0, 1])
async def test_an_unknown_group_ends_the_request(reading: Reading, position: int) -> None:
    """Wherever it stands among the others; the refusal names it."""
    groups = [HP_TEAM]
    groups.insert(position, NOBODYS)
    pages = await reading.pages(of_group(*groups))
    assert len(pages) == position + 1
    assert (code(pages[-1].refusal), pages[-1].checkpoint) == ("groupNotFound", None)
    assert NOBODYS in (pages[-1].refusal or Problem("", "")).message


@pytest.mark.parametrize(
    ("request_", "roles", "permission"),
    [
        (of_group(HP_TEAM), ["User.ReadWrite.All"], "GroupMember.Read.All"),
        (RevocationRequest(filter="department eq 'HP'"), ["User.RevokeSessions.All"], "User.Read.All"),
    ],
)
async def test_a_missing_permission_is_named_with_the_command_that_grants_it(
    reading: Reading, directory: Directory, request_: RevocationRequest, roles: list[str], permission: str
) -> None:
    """Final for the request, and not the permission to revoke is blamed."""
    await directory.configure(grantedRoles=roles)
    (page,) = await reading.pages(request_)
    assert page.refusal is not None
    assert page.refusal.code == "appPermissionMissing"
    assert permission in page.refusal.message
    assert "az rest --method POST" in page.refusal.hint


async def test_a_403_despite_the_permission_says_so(reading: Reading, directory: Directory) -> None:
    """The token is what tells, not the message."""
    await directory.fault("^/groups", times=None, status=403)
    (page,) = await reading.pages(of_group(HP_TEAM))
    assert page.refusal is not None
    assert page.refusal.code == "appPermissionMissing"
    assert "although its token carries a permission" in page.refusal.message


async def test_an_entry_that_does_not_say_what_it_is_counts_as_a_user(reading: Reading, directory: Directory) -> None:
    """One too many is seen by everybody, one too few by nobody."""
    (person,) = people("adele")
    entries = [{"@odata.type": None, "id": person.upper()}, {"id": person}, {"@odata.type": "#microsoft.graph.device"}]
    await directory.fault("^/groups", status=200, body={"value": entries})
    assert ids(await reading.pages(of_group(NOBODYS))) == [person, person]


@pytest.mark.parametrize("kind", ["microsoft.graph.user", "#Microsoft.Graph.User"])
async def test_a_user_is_one_however_that_is_spelt(reading: Reading, directory: Directory, kind: str) -> None:
    """Nobody is missed because of a capital letter."""
    (person,) = people("adele")
    await directory.fault("^/groups", status=200, body={"value": [{"@odata.type": kind, "id": person}]})
    assert ids(await reading.pages(of_group(NOBODYS))) == [person]
