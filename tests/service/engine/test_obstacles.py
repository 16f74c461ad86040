from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from listing import HP_TEAM, code, ids, of_group, people

from local.simulator.directory import object_id
from revoke_core.domain.request import RevocationRequest

if TYPE_CHECKING:
    from listing import Directory, Reading

    from revoke_core.service.engine.sources import SourcePage

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
    ({"raw": '{"value": [], "@odata.nextLink": 5}'}, "graphUnavailable", None),
    ({"raw": '{"value": [], "@odata.nextLink": {"href": "x"}}'}, "graphUnavailable", None),
    ({"raw": '{"value": [], "@odata.nextLink": ""}'}, "graphUnavailable", None),
    *(({"status": status, "raw": "<html>"}, "graphUnavailable", None) for status in (400, 403, 404, 410, 451)),
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
    assert (code(hindered.obstacle), hindered.pause, hindered.users) == (expected, pause, [])
    assert hindered.refusal is None
    assert hindered.checkpoint == first.checkpoint
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


@pytest.mark.parametrize("status", [400, 404, 410])
@pytest.mark.parametrize("request_", [of_group(HP_TEAM), RevocationRequest(filter="department eq 'HP'")])
async def test_a_dead_link_begins_the_list_again_whatever_its_status(
    reading: Reading, directory: Directory, status: int, request_: RevocationRequest
) -> None:
    """Graph knew the list a page ago: that its next page is gone says nothing against the group or the filter."""
    await directory.configure(emptyPages=1)
    first = await reading.only(request_)
    body = {"error": {"code": "Directory_ExpiredPageToken", "message": "gone"}}
    await directory.fault("^/(groups|users)", times=1, status=status, body=body)
    again = await reading.only(request_, first.checkpoint)
    assert (again.users, again.obstacle, again.refusal) == ([], None, None)
    assert again.checkpoint != first.checkpoint
    assert ids(await reading.pages(request_, again.checkpoint)) == people("adele", "carol")


async def test_a_link_that_stays_dead_is_not_asked_for_again(reading: Reading, directory: Directory) -> None:
    """Once beginning again has not helped, every later try begins with the first page, less and less often."""
    await directory.configure(pageTokenLifeSeconds=0, emptyPages=1)
    stuck = (await reading.pages(of_group(HP_TEAM)))[-1]
    assert stuck.failures == 4
    before = await directory.calls()
    later = await reading.pages(of_group(HP_TEAM), stuck.checkpoint)
    assert [len(page.users) for page in later] == [0, 0]
    assert later[-1].failures == 5
    assert later[-1].checkpoint != later[0].checkpoint
    assert sum((await directory.calls()).values()) - sum(before.values()) == 2


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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_redirect_is_never_followed(reading: Reading, directory: Directory, host: str) -> None:
    """Not even to where the links may lead: Graph sends none, so whoever does is not Graph."""
    port = directory.root.rpartition(":")[2]
    await directory.fault("^/groups", redirect=f"http://{host}:{port}/v1.0/users")
    page = await reading.only(of_group(HP_TEAM))
    assert (code(page.obstacle), page.users) == ("graphUnavailable", [])
    assert sum((await directory.calls()).values()) == 1
