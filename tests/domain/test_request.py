import gc
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revoke_core.domain.errors import GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RequestLimits, RevocationRequest
from revoke_core.domain.request_body import LARGEST_BODY, parse_request, read_json

LIMITS = RequestLimits(max_users=100, require_reason=False)


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
def test_a_request_must_name_users(content: dict[str, Any]) -> None:
    """An empty request is a fault of the whole body."""
    assert "" in pointers(content)


@pytest.mark.parametrize("value", [True, 1.5, "3", [], {}])
def test_expected_users_is_a_whole_number(value: Any) -> None:
    """True is not one user."""
    assert pointers({"user": "adele@contoso.com", "expectedUsers": value}) == {"/expectedUsers"}


GROUP = "8F5D1C2E-0000-4000-8000-00000000ABCD"


def test_groups_are_read_in_lower_case_and_each_once() -> None:
    """Object ids compare without case; blanks around them are forgiven, and transitive members are meant."""
    other = GROUP.replace("8", "9")
    request = read({"groups": [GROUP, f" {other}\n", GROUP.lower()]})
    assert (request.groups, request.transitive) == ((GROUP.lower(), other.lower()), True)
    assert read({"groups": [GROUP], "transitive": False}).transitive is False


@pytest.mark.parametrize("value", ["All of HP", "", 5, None, {}, "adele@contoso.com", f"{GROUP}/../x", f"{GROUP}0"])
def test_a_group_is_named_by_its_object_id_alone(value: Any) -> None:
    """Names of groups are not unique, and nothing else may reach a URL."""
    assert pointers({"groups": [GROUP, value]}) == {"/groups/1"}
    assert pointers({"user": "adele@contoso.com", "groups": value or "x"}) == {"/groups"}


@pytest.mark.parametrize("value", ["", "  \t", 5, ["x"], "a" * 4001, "a\nb", "a\u0000b", "a\u0085b", "\ud800"])
def test_a_filter_is_one_line_of_text(value: Any) -> None:
    """Blank, too long, with control characters or not storable: a fault, whatever else is named."""
    assert pointers({"user": "adele@contoso.com", "filter": value}) == {"/filter"}


def test_a_filter_is_kept_as_it_is() -> None:
    """Only the blanks around it go."""
    text = "displayName eq 'O''Brien & Söhne #1'"
    assert read({"filter": f"  {text}\n"}).filter == text
    assert read({"filter": "a" * 4000}).filter == "a" * 4000


@pytest.mark.parametrize("value", ["yes", 1, [], {}])
def test_transitive_is_true_or_false(value: Any) -> None:
    """A text is no flag."""
    assert pointers({"groups": [GROUP], "transitive": value}) == {"/transitive"}


def test_transitive_alone_names_no_users() -> None:
    """It only says how groups are meant."""
    assert "" in pointers({"transitive": False})
    assert "" in pointers({"groups": []})


def test_a_hundred_thousand_names_stay_texts() -> None:
    """The largest request is parsed without an object for every user; each is made when it is looked at."""
    limits = RequestLimits(max_users=100_000, require_reason=False)
    before = sum(isinstance(item, UserRef) for item in gc.get_objects())
    request = parse_request({"users": [f"user{number}@contoso.com" for number in range(100_000)]}, limits)
    assert request.distinct() == 100_000
    request.digest()
    assert sum(isinstance(item, UserRef) for item in gc.get_objects()) - before < 10
    assert request.users[99_999].text == "user99999@contoso.com"


def test_named_users_are_a_sequence_of_references() -> None:
    """They read as a tuple of references would; two are equal when their texts are."""
    users = read({"users": [" Adele@contoso.com", GROUP]}).users
    assert [user.given for user in users] == [" Adele@contoso.com", GROUP]
    assert [user.text for user in users[1:]] == [GROUP.lower()]
    assert users == NamedUsers([" Adele@contoso.com", GROUP])
    assert users != NamedUsers(["Adele@contoso.com", GROUP])
    assert hash(users) == hash(NamedUsers([" Adele@contoso.com", GROUP]))


@pytest.mark.parametrize("name", ["sid:S-1-5-21-1-2-3-1104", "mail:adele@contoso.com", "unresolved:adele\tno id"])
def test_no_caller_names_users_as_the_readers_of_payloads_do(name: str) -> None:
    """Such a text would be searched for in the tenant; only what a payload really held may be."""
    content = {"user": name, "users": ["bob@contoso.com", name], "exclude": [name]}
    assert pointers(content) == {"/user", "/users/1", "/exclude/0"}


def test_a_name_in_a_sea_of_blanks_is_refused() -> None:
    """Blanks around a name are forgiven up to a length that can be stored."""
    assert read({"user": " " * 100 + "adele@contoso.com"}).users[0].text == "adele@contoso.com"
    assert pointers({"user": " " * 1000 + "adele@contoso.com"}) == {"/user"}


def test_repetitions_are_counted_by_their_texts() -> None:
    """Case and blanks make no other user."""
    request = read({"users": ["adele@contoso.com", " ADELE@contoso.com", "bob@contoso.com"]})
    assert (request.named, request.distinct()) == (3, 2)


def test_null_is_absent() -> None:
    """Workflow tools send null for a field left empty."""
    request = read({"user": "adele@contoso.com", "reason": None, "exclude": None, "dryRun": None})
    assert (request.reason, request.exclude, request.dry_run, request.verify) == (None, (), False, True)


def test_a_hundred_faults_are_listed_and_the_rest_counted() -> None:
    """A list of a thousand typing errors still gives an answer that can be read."""
    with pytest.raises(InvalidRequest) as refused:
        parse_request({"users": ["me"] * 150}, RequestLimits(max_users=150, require_reason=False))
    listed = refused.value.listed()
    assert len(listed) == 101
    assert listed[-1]["detail"] == "50 more"


def test_more_users_than_allowed_are_refused_by_the_guard() -> None:
    """MAX_USERS is a guard, not a typing error."""
    with pytest.raises(GuardRefused, match="MAX_USERS"):
        read({"users": [f"u{number}@contoso.com" for number in range(101)]})


def test_a_reason_can_be_required() -> None:
    """REQUIRE_REASON makes the reason a field that must be there and say something."""
    limits = RequestLimits(max_users=1, require_reason=True)
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


@pytest.mark.parametrize(
    "change",
    [
        {"groups": [GROUP]},
        {"groups": [GROUP.replace("8", "9"), GROUP], "transitive": False},
        {"filter": "department eq 'Legal'"},
    ],
)
def test_every_target_counts_in_the_digest(change: dict[str, Any]) -> None:
    """Another group, filter or depth is another request."""
    base = {"groups": [GROUP, GROUP.replace("8", "9")], "filter": "department eq 'HP'"}
    assert read(base).digest() != read(base | change).digest()


def test_spelling_of_targets_does_not_count_in_the_digest() -> None:
    """Order and case of groups, blanks around the filter, a depth without groups, a default said aloud."""
    other = GROUP.replace("8", "9")
    one = read({"groups": [GROUP, other], "filter": "x"})
    same = read({"filter": " x ", "transitive": True, "groups": [other.lower(), GROUP, other]})
    assert one.digest() == same.digest()
    assert read({"filter": "x", "transitive": False}).digest() == read({"filter": "x"}).digest()


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
