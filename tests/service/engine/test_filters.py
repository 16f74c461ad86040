from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from listing import code, ids, people

from revoke_core.domain.request import RevocationRequest

if TYPE_CHECKING:
    from listing import Directory, Reading


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
