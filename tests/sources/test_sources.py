from __future__ import annotations

import json
from datetime import timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from listing import ids

from local.simulator.directory import object_id
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.results import Counts, Problem, UserRow, UserStatus
from revoke_core.ports import Run

if TYPE_CHECKING:
    from listing import Directory, Reading

    from revoke_core.service.sources import SourcePage

HP_TEAM = object_id("group:HP team")
ALL_OF_HP = object_id("group:All of HP")
MIXED = object_id("group:Mixed")
HIDDEN = object_id("group:Hidden")
NOBODYS = "00000000-0000-4000-8000-0000000000ff"
DEVICE = {"type": "device", "id": "00000000-0000-4000-8000-00000000d001"}


def people(*names: str) -> list[str]:
    return [object_id(f"{name}@contoso.com") for name in names]


def of_group(*groups: str, **more: Any) -> RevocationRequest:
    return RevocationRequest(groups=groups, **more)


def code(problem: Problem | None) -> str | None:
    return problem.code if problem else None


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
    with pytest.raises(ValueError, match="lost part 0"):
        await reading.only(stored)


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
        run = await reading.log.save(run, some)
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


async def test_an_advanced_filter_is_asked_again_under_its_conditions(reading: Reading, directory: Directory) -> None:
    """Plain first; then with header and count, on every page, and a resumed reading still knows."""
    await directory.configure(emptyPages=1)
    request = RevocationRequest(filter="not startswith(userPrincipalName,'team')")
    pages = await reading.pages(request)
    found = ids(pages)
    assert len(pages) == 2
    assert set(people("adele", "bob", "carol")) <= set(found)
    assert not set(people("team01")) & set(found)
    # The plain question, the same one under the conditions, and the second page.
    assert (await directory.calls())["/users"] == 3
    assert json.loads(pages[0].checkpoint or "")["advanced"] is True


@pytest.mark.parametrize("text", ["department eq", "nickname eq 'x'", "department ge 'x'"])
async def test_a_filter_that_graph_refuses_ends_the_request(reading: Reading, text: str) -> None:
    """With Graph's own words, for only Graph knows what it takes."""
    (page,) = await reading.pages(RevocationRequest(filter=text))
    assert (page.users, page.checkpoint, code(page.refusal)) == ([], None, "invalidFilter")
    assert page.refusal is not None
    assert "filter clause" in page.refusal.message


async def test_graphs_words_are_cut_and_redacted(reading: Reading, directory: Directory) -> None:
    """What somebody else wrote is not kept as it is."""
    body = {"error": {"code": "Request_BadRequest", "message": "sig=secret&x " + "y" * 5_000}}
    await directory.fault("^/users", status=400, body=body)
    page = await reading.only(RevocationRequest(filter="x eq 'y'"))
    assert page.refusal is not None
    assert "secret" not in page.refusal.message
    assert len(page.refusal.message) < 700


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


OBSTACLES = [
    ({"status": 429, "headers": {"Retry-After": "7"}}, "throttled", timedelta(seconds=7)),
    ({"status": 503}, "graphUnavailable", None),
    ({"status": 504}, "graphUnavailable", None),
    ({"drop": "before"}, "graphUnavailable", None),
    ({"truncate": True}, "graphUnavailable", None),
    ({"raw": "<html>"}, "graphUnavailable", None),
    ({"raw": '{"value": 5}'}, "graphUnavailable", None),
    ({"raw": '{"value": [{"id": "x", "@odata.type": "#microsoft.graph.user"}]}'}, "graphUnavailable", None),
    ({"raw": '{"value": [5]}'}, "graphUnavailable", None),
    ({"status": 400, "raw": "<html>"}, "graphUnavailable", None),
    ({"redirect": "https://evil.example/"}, "graphUnavailable", None),
]


@pytest.mark.parametrize(("action", "expected", "pause"), OBSTACLES, ids=[str(item[0]) for item in OBSTACLES])
@pytest.mark.parametrize(
    "request_", [of_group(HP_TEAM), RevocationRequest(filter="department eq 'HP'")], ids=["group", "filter"]
)
async def test_an_obstacle_consumes_nothing(  # noqa: PLR0917 -- a table of answers has columns
    reading: Reading,
    directory: Directory,
    action: dict[str, Any],
    expected: str,
    pause: timedelta | None,
    request_: RevocationRequest,
) -> None:
    """Throttled, down, or unreadable: nobody is lost and nobody is added; the same checkpoint works afterwards."""
    await directory.configure(emptyPages=1)
    first = await reading.only(request_)
    await directory.fault("^/(groups|users)", times=None, **action)
    hindered = await reading.only(request_, first.checkpoint)
    # A refused page token may be an expired one: the list begins again, and what comes next is the obstacle.
    if action.get("status") == 400:
        hindered = await reading.only(request_, hindered.checkpoint)
    assert (code(hindered.obstacle), hindered.pause, hindered.users) == (expected, pause, [])
    assert hindered.refusal is None
    assert hindered.checkpoint == first.checkpoint or action.get("status") == 400
    await directory.well_again()
    assert ids(await reading.pages(request_, hindered.checkpoint)) == people("adele", "carol")


async def test_an_obstacle_at_the_very_start_has_a_checkpoint(reading: Reading, directory: Directory) -> None:
    """None would say that there is nothing more to read."""
    await directory.fault("^/groups", status=429, headers={"Retry-After": "1"})
    page = await reading.only(of_group(HP_TEAM))
    assert code(page.obstacle) == "throttled"
    assert page.checkpoint is not None
    assert ids(await reading.pages(of_group(HP_TEAM), page.checkpoint)) == people("adele", "carol")


@pytest.mark.parametrize("request_", [of_group(HP_TEAM), RevocationRequest(filter="department eq 'HP'")])
async def test_no_token_is_an_obstacle(
    reading: Reading, directory: Directory, monkeypatch: pytest.MonkeyPatch, request_: RevocationRequest
) -> None:
    """The identity may answer again; the request waits."""
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    page = await reading.only(request_)
    assert (code(page.obstacle), page.refusal) == ("noToken", None)
    assert await reading.sources.check_filter("department eq 'HP'") is None
    assert directory


async def test_an_expired_page_token_begins_the_list_again(reading: Reading, directory: Directory) -> None:
    """Whoever came before comes again, and nobody is missing."""
    await directory.people(2_500, "bulk")
    request = RevocationRequest(filter="startswith(userPrincipalName,'bulk')")
    first = await reading.only(request)
    await directory.configure(pageTokenLifeSeconds=0)
    again = await reading.only(request, first.checkpoint)
    assert (again.users, again.obstacle, again.refusal) == ([], None, None)
    await directory.configure(pageTokenLifeSeconds=None)
    rest = ids(await reading.pages(request, again.checkpoint))
    assert len(rest) == len(set(rest)) == 2_500
    assert {user.text for user in first.users} <= set(rest)


async def test_tokens_that_always_expire_are_an_obstacle_in_the_end(reading: Reading, directory: Directory) -> None:
    """Beginning again without getting further ends after a few times."""
    await directory.configure(pageTokenLifeSeconds=0, emptyPages=1)
    pages = await reading.pages(of_group(HP_TEAM))
    assert code(pages[-1].obstacle) == "graphUnavailable"
    assert len(pages) < 12
    await directory.configure(pageTokenLifeSeconds=None)
    assert ids(await reading.pages(of_group(HP_TEAM), pages[-1].checkpoint)) == people("adele", "carol")


@pytest.mark.parametrize("circle", [1, 2, 3, 7])
async def test_a_list_that_runs_in_a_circle_is_an_obstacle(reading: Reading, directory: Directory, circle: int) -> None:
    """The same links again and again are no list; the reading stops instead of running for ever."""
    path = f"/groups/{HP_TEAM}/transitiveMembers"
    for number in range(circle):
        link = f"{directory.root}/v1.0{path}?page={(number + 1) % circle}"
        body = {
            "value": [{"@odata.type": "#microsoft.graph.user", "id": object_id(str(number))}],
            "@odata.nextLink": link,
        }
        await directory.fault(f"{path}", times=1, status=200, body=body)
    for _ in range(4):
        for number in range(circle):
            link = f"{directory.root}/v1.0{path}?page={(number + 1) % circle}"
            await directory.fault(f"{path}", times=1, status=200, body={"value": [], "@odata.nextLink": link})
    pages = await reading.pages(of_group(HP_TEAM))
    assert code(pages[-1].obstacle) == "graphUnavailable"
    assert len(pages) <= 4 * circle + 1
    assert {user.text for page in pages for user in page.users} == {object_id(str(n)) for n in range(circle)}


async def test_an_entry_that_does_not_say_what_it_is_counts_as_a_user(reading: Reading, directory: Directory) -> None:
    """One too many is seen by everybody, one too few by nobody."""
    (person,) = people("adele")
    entries = [{"@odata.type": None, "id": person.upper()}, {"id": person}, {"@odata.type": "#microsoft.graph.device"}]
    await directory.fault("^/groups", status=200, body={"value": entries})
    assert ids(await reading.pages(of_group(NOBODYS))) == [person, person]


async def test_a_link_to_another_host_is_never_followed(reading: Reading, directory: Directory) -> None:
    """The token stays at home: nothing is sent, and the reading waits."""

    async def read(link: str) -> list[SourcePage]:
        await directory.fault("^/groups", status=200, body={"value": [], "@odata.nextLink": link})
        return await reading.pages(of_group(HP_TEAM))

    port = directory.root.rpartition(":")[2]
    for link in (f"http://localhost:{port}/v1.0/groups/x/members", "https://evil.example/v1.0/groups/x/members"):
        pages = await read(link)
        assert [code(page.obstacle) for page in pages] == [None, "graphUnavailable"]
    assert sum((await directory.calls()).values()) == 2


async def test_a_link_that_cannot_be_kept_is_an_obstacle(reading: Reading, directory: Directory) -> None:
    """A checkpoint has to fit a table property."""
    link = f"{directory.root}/v1.0/groups/{HP_TEAM}/members?x=" + "x" * 30_000
    await directory.fault("^/groups", status=200, body={"value": [], "@odata.nextLink": link})
    page = await reading.only(of_group(HP_TEAM))
    assert code(page.obstacle) == "graphUnavailable"
    assert len(page.checkpoint or "") < 30_000


async def test_the_longest_filter_reaches_graph_whole(reading: Reading, directory: Directory) -> None:
    """With spaces, quotes and hash signs, and through a nextLink that repeats it."""
    await directory.configure(emptyPages=1)
    rest = ", ".join(f"'nobody #{number}'" for number in range(500))
    text = f"displayName in ('Conor O''Neil', {rest}"[:3_990].rpartition(",")[0] + ")"
    assert len(quote(text)) > 5_000
    assert ids(await reading.pages(RevocationRequest(filter=text))) == people("conor.o'neil")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("department eq 'HP'", None),
        ("department ne 'HP'", None),
        ("department eq", "invalidFilter"),
        ("not nickname eq 'x'", "invalidFilter"),
    ],
)
async def test_a_filter_can_be_tried_cheaply(reading: Reading, directory: Directory, text: str, expected: str) -> None:
    """One user is asked for; what Graph refuses for certain is known before anything is accepted."""
    assert code(await reading.sources.check_filter(text)) == expected
    assert (await directory.calls())["/users"] <= 2


@pytest.mark.parametrize(
    "action",
    [
        {"status": 429, "headers": {"Retry-After": "5"}},
        {"status": 503},
        {"status": 403},
        {"status": 400, "raw": "<html>"},
        {"drop": "before"},
    ],
)
async def test_nothing_is_held_against_a_filter_that_could_not_be_tried(
    reading: Reading, directory: Directory, action: dict[str, Any]
) -> None:
    """Only a clear refusal by Graph counts."""
    await directory.fault("^/users", times=None, **action)
    assert await reading.sources.check_filter("department eq") is None
