import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revoke_core.domain.errors import GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.request import LARGEST_BODY, Limits, RevocationRequest, parse_request, read_json

LIMITS = Limits(max_users=100, require_reason=False)


def read(content: Any) -> RevocationRequest:
    return parse_request(read_json(json.dumps(content).encode()), LIMITS)


def pointers(content: Any) -> set[str]:
    with pytest.raises(InvalidRequest) as refused:
        read(content)
    return {fault.pointer for fault in refused.value.faults}


def test_user_and_users_are_read_in_the_order_named() -> None:
    """One list comes out of both fields, the single user first."""
    request = read({"users": ["bob@contoso.com", "carol@contoso.com"], "user": "adele@contoso.com"})
    assert [user.text for user in request.users] == ["adele@contoso.com", "bob@contoso.com", "carol@contoso.com"]


def test_all_faults_are_named_at_once() -> None:
    """A caller mends a request in one go."""
    content = {"users": ["me", 5], "reason": 1, "dryRun": "yes", "expectedUsers": -1, "colour": "red"}
    assert pointers(content) == {"/users/0", "/users/1", "/reason", "/dryRun", "/expectedUsers", "/colour"}


@pytest.mark.parametrize("content", [{}, {"users": []}, {"user": None}, {"reason": "x"}])
def test_a_request_must_name_somebody(content: dict[str, Any]) -> None:
    """An empty request is a fault of the whole body."""
    assert "" in pointers(content)


@pytest.mark.parametrize("value", [True, 1.5, "3", [], {}])
def test_expected_users_is_a_whole_number(value: Any) -> None:
    """True is not one user."""
    assert pointers({"user": "adele@contoso.com", "expectedUsers": value}) == {"/expectedUsers"}


@pytest.mark.parametrize("name", ["groups", "filter"])
def test_targets_of_a_later_version_are_refused_by_name(name: str) -> None:
    """Nothing is silently ignored that would have widened or narrowed who is hit."""
    assert pointers({"user": "adele@contoso.com", name: "x"}) == {f"/{name}"}


def test_null_is_absent() -> None:
    """Workflow tools send null for a field left empty."""
    request = read({"user": "adele@contoso.com", "reason": None, "exclude": None, "dryRun": None})
    assert (request.reason, request.exclude, request.dry_run, request.verify) == (None, (), False, True)


def test_a_hundred_faults_are_listed_and_the_rest_counted() -> None:
    """A list of a thousand typing errors still gives an answer that can be read."""
    with pytest.raises(InvalidRequest) as refused:
        read({"users": ["me"] * 150})
    listed = refused.value.listed()
    assert len(listed) == 101
    assert listed[-1]["detail"] == "50 more"


def test_more_users_than_allowed_are_refused_by_the_guard() -> None:
    """MAX_USERS is a guard, not a typing error."""
    with pytest.raises(GuardRefused, match="MAX_USERS"):
        read({"users": [f"u{number}@contoso.com" for number in range(101)]})


def test_a_reason_can_be_required() -> None:
    """REQUIRE_REASON makes the reason a field that must be there and say something."""
    limits = Limits(max_users=1, require_reason=True)
    for reason in (None, "   "):
        with pytest.raises(InvalidRequest):
            parse_request({"user": "adele@contoso.com", "reason": reason}, limits)
    assert parse_request({"user": "adele@contoso.com", "reason": "INC-1"}, limits).reason == "INC-1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b"nonsense",
        b'{"user": NaN}',
        b'{"user": "a@b.de", "user": "c@d.de"}',
        b'{"user": "a@b.de",}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"reason":' * 50_000,
    ],
)
def test_what_is_not_plain_json_is_refused(body: bytes) -> None:
    """Doubled keys, NaN, other encodings and deep nesting are faults, never a crash."""
    with pytest.raises(InvalidRequest):
        read_json(body)


def test_a_byte_order_mark_is_skipped() -> None:
    """Windows tools put one in front."""
    assert read_json(b'\xef\xbb\xbf{"user": "a@b.de"}') == {"user": "a@b.de"}


def test_a_body_over_sixteen_mebibytes_is_too_large() -> None:
    """The limit is stated as 413, not as a syntax error."""
    with pytest.raises(TooLarge):
        read_json(b" " * (LARGEST_BODY + 1))


def test_the_digest_is_of_the_meaning() -> None:
    """The same request in other spelling is the same request; another user is another one."""
    one = read({"user": "Adele@contoso.com", "exclude": ["a@b.de", "c@d.de"]})
    same = read({"exclude": ["C@d.de", "a@b.de"], "users": ["adele@CONTOSO.com"], "dryRun": False})
    other = read({"user": "bob@contoso.com", "exclude": ["a@b.de", "c@d.de"]})
    assert one.digest() == same.digest() != other.digest()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_no_json_value_crashes_the_reader(value: Any) -> None:
    """Whatever is sent, it is a request or a list of faults."""
    try:
        parse_request(value, LIMITS)
    except InvalidRequest as refused:
        assert refused.faults  # noqa: PT017 -- both outcomes are allowed, so pytest.raises does not fit
