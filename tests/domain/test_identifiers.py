from datetime import UTC, datetime, timedelta

import pytest

from revoke_core.domain.identifiers import accepted_at, is_request_id, new_request_id, parse_user

GUID = "8F5D1C2E-0000-4000-8000-00000000ABCD"

REFUSED = [
    "",
    " ",
    ".",
    "..",
    "...",
    "me",
    "delta",
    "$count",
    "/",
    "\\",
    "a/b",
    "../me",
    "a/../../groups/x",
    "%2e%2e",
    "%2f",
    "%252e%252e",
    "x?$filter=1",
    "x#y",
    ";",
    "a@b",
    "a@b.",
    "a@.b",
    "a@-b.com",
    "a@b-.com",
    "a b@contoso.com",
    "a@contoso.com\r\nX: y",
    "a\x00@contoso.com",
    "\u202ea@contoso.com",
    "а@contoso.com",  # noqa: RUF001 -- a Cyrillic letter that looks Latin is the point of this case
    "a@contoso.com/x",
    "a@contoso.com?x",
    "https://evil.example/",
    "{8f5d1c2e-0000-4000-8000-00000000abcd}",
    "8f5d1c2e00004000800000000000abcd",
    "8f5d1c2e-0000-4000-8000-00000000abc",
    "٨f5d1c2e-0000-4000-8000-00000000abcd",
    "1" * 21,
    "a" * 65 + "@contoso.com",
    "a@" + "b" * 64 + ".com",
    "a@@contoso.com",
    '"a"@contoso.com',
    "a'); DROP@contoso.com",
    # What stands for users of other products' payloads, which only their readers write.
    "sid:S-1-5-21-1004336348-1177238915-682003330-1104",
    "mail:adele@contoso.com",
    " Mail:adele@contoso.com",
    "unresolved:adele@contoso.com",
    "unresolved:adele\tno id",
]


@pytest.mark.parametrize("text", REFUSED)
def test_only_object_ids_and_strict_upns_pass(text: str) -> None:
    """What could change the meaning of a URL is not a user."""
    assert parse_user(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "adele@contoso.com",
        "conor.o'neil@contoso.com",
        "$money@contoso.com",
        "guest_fabrikam.com#EXT#@contoso.onmicrosoft.com",
        "a.b-c_d!e^f~g+h@sub.contoso.com",
    ],
)
def test_odd_but_real_upns_pass(text: str) -> None:
    """Apostrophes, dollar signs and guests are users like any other."""
    user = parse_user(text)
    assert user is not None
    assert (user.text, user.is_id) == (text, False)


def test_ids_are_lowered_and_blanks_trimmed_while_the_input_stays_as_given() -> None:
    """An id is sent in lower case; the answer repeats what the caller wrote."""
    user = parse_user(f"  {GUID}\n")
    assert user is not None
    assert (user.text, user.given, user.is_id) == (GUID.lower(), f"  {GUID}\n", True)


def test_an_invited_guest_is_known_by_its_upn() -> None:
    """#EXT# in a UPN says invited, whatever its case."""
    user = parse_user("x_fabrikam.com#ext#@contoso.com")
    assert user is not None
    assert user.is_invited


def test_later_requests_sort_first_and_hold_their_time() -> None:
    """Tables sort ascending only: inverted time makes the newest request the first."""
    early = datetime(2026, 9, 10, 14, 32, 27, 459000, tzinfo=UTC)
    first, second = new_request_id(early), new_request_id(early + timedelta(milliseconds=1))
    assert second < first
    assert accepted_at(first) == early


def test_request_ids_are_unguessable() -> None:
    """An id holds 128 random bits, so no two are alike and none can be guessed."""
    now = datetime.now(UTC)
    ids = {new_request_id(now) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(request_id.split("-")[1]) == 32 for request_id in ids)
    assert all(is_request_id(request_id) for request_id in ids)
