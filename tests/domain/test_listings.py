from typing import Any

import pytest

from revoke_core.domain import permission_problems, problems
from revoke_core.domain.permissions import TokenFacts
from revoke_core.domain.responses import Answer, Delivery, Effect, graph_error, judge_listing, next_link

UNKNOWN = problems.group_not_found("8f5d1c2e-0000-4000-8000-00000000abcd")
HERE = "8f5d1c2e-0000-4000-8000-00000000abcd"
GRAPHS = {"error": {"code": "Request_BadRequest", "message": "no"}}


def answered(status: int, body: dict[str, Any] | None = None) -> Answer:
    return Answer(delivery=Delivery.ANSWERED, status=status, body=body)


@pytest.mark.parametrize(
    ("status", "body", "effect", "code"),
    [
        (200, {"value": []}, Effect.ACCEPTED, None),
        (200, {"value": 5}, Effect.RETRY, "graphUnavailable"),
        (200, None, Effect.RETRY, "graphUnavailable"),
        (204, None, Effect.RETRY, "graphUnavailable"),
        (302, None, Effect.RETRY, "graphUnavailable"),
        (400, GRAPHS, Effect.FINAL, None),
        (400, None, Effect.RETRY, "graphUnavailable"),
        (401, None, Effect.RETRY, "noToken"),
        (403, GRAPHS, Effect.FORBIDDEN, None),
        (403, None, Effect.RETRY, "graphUnavailable"),
        (404, GRAPHS, Effect.FINAL, "groupNotFound"),
        (404, None, Effect.RETRY, "graphUnavailable"),
        (409, None, Effect.RETRY, "graphUnavailable"),
        (414, GRAPHS, Effect.FINAL, "graphRefused"),
        (414, {"message": "too long"}, Effect.RETRY, "graphUnavailable"),
        (429, None, Effect.RETRY, "throttled"),
        (500, None, Effect.RETRY, "graphUnavailable"),
        (503, None, Effect.RETRY, "graphUnavailable"),
    ],
)
def test_what_each_answer_means_for_a_list(status: int, body: Any, effect: Effect, code: str | None) -> None:
    """Only a readable list is one; what may pass, or is not Graph's own word, is tried again; the rest is final."""
    verdict = judge_listing(answered(status, body), unknown=UNKNOWN)
    assert verdict.effect is effect
    assert (verdict.problem.code if verdict.problem else None) == code


def test_a_lost_page_is_asked_for_again() -> None:
    """Reading changes nothing."""
    assert judge_listing(Answer(delivery=Delivery.LOST), unknown=UNKNOWN).effect is Effect.RETRY


@pytest.mark.parametrize(
    ("body", "link"),
    [
        *((({"@odata.nextLink": link}), link) for link in ("x", "", None)),
        *((({"@odata.nextLink": link}), "") for link in (5, 0, False, {}, {"x": 1}, [])),
        ({}, None),
        (None, None),
    ],
)
def test_only_a_text_is_a_link(body: Any, link: str | None) -> None:
    """Whatever else stands there leads nowhere, but is no end of the list; and only of an answer that succeeded."""
    assert next_link(answered(200, body)) == link
    assert next_link(answered(500, body)) is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"code": "a", "message": "b"}}, ("a", "b")),
        ({"error": {"code": ""}}, ("", "")),
        ({"error": {"code": 5}}, None),
        ({"error": "x"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_only_graphs_own_shape_is_graphs_error(body: Any, error: tuple[str, str] | None) -> None:
    """A gateway's page says nothing about the question."""
    assert graph_error(answered(400, body)) == error


def test_a_list_that_may_not_be_read_names_its_own_permission() -> None:
    """Each with its own command, and with both stories where the token carries the permission."""
    bare = TokenFacts(fingerprint="t", roles=frozenset())
    opaque = TokenFacts(fingerprint="t", roles=None)
    full = TokenFacts(fingerprint="t", roles=frozenset({"Directory.Read.All"}))
    for token in (bare, opaque, full):
        group, users = (
            permission_problems.group_not_readable(HERE, token),
            permission_problems.users_not_readable(token),
        )
        assert {group.code, users.code} == {"appPermissionMissing"}
        assert "98830695-27a2-44f7-8c18-0c3ebc9698f6" in group.hint
        assert "df021288-bdef-4463-88db-98f22de89214" in users.hint
        assert ("although" in group.message, "although" in users.message) == (token is full, token is full)
        assert HERE in group.message
