from datetime import timedelta
from typing import Any

import pytest

from revoke_core.domain import problems
from revoke_core.domain.permissions import TokenFacts, grant_command, missing
from revoke_core.domain.responses import Ambiguity, Answer, Delivery, Effect, judge_read, judge_revoke

EXACT = TokenFacts(fingerprint="t", roles=frozenset({"User.RevokeSessions.All"}))
BROAD = TokenFacts(fingerprint="t", roles=frozenset({"User.ReadWrite.All"}))
NONE = TokenFacts(fingerprint="t", roles=frozenset(), principal_id="11111111-2222-4333-8444-555555555555")
OPAQUE = TokenFacts(fingerprint="t", roles=None)


GRAPHS = {"error": {"code": "someCode", "message": "Graph's own words"}}


def answered(status: int, pause: timedelta | None = None, body: Any = GRAPHS) -> Answer:
    return Answer(delivery=Delivery.ANSWERED, status=status, body=body, retry_after=pause)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_acceptance(status: int) -> None:
    """Graph's documentation asks to look at the class of the status only."""
    assert judge_revoke(answered(status), BROAD, token_has_revoked=False).effect is Effect.ACCEPTED


@pytest.mark.parametrize(
    ("token", "has_revoked", "code"),
    [
        (NONE, False, "appPermissionMissing"),
        (NONE, True, "appPermissionMissing"),
        (EXACT, False, "targetPrivileged"),
        (BROAD, True, "targetPrivileged"),
        (BROAD, False, "appPermissionMissing"),
        (OPAQUE, False, "appPermissionMissing"),
    ],
)
def test_a_403_is_read_by_the_roles_of_the_token(token: TokenFacts, has_revoked: bool, code: str) -> None:
    """The message of a 403 decides nothing."""
    verdict = judge_revoke(answered(403), token, token_has_revoked=has_revoked)
    assert verdict.effect is Effect.FORBIDDEN
    assert verdict.problem is not None
    assert verdict.problem.code == code


def test_an_unproven_broad_permission_gets_both_explanations() -> None:
    """Nobody knows which it is, so the hint says both."""
    verdict = judge_revoke(answered(403), BROAD, token_has_revoked=False)
    assert verdict.problem is not None
    assert "User.RevokeSessions.All" in verdict.problem.hint
    assert "administrator role" in verdict.problem.hint


@pytest.mark.parametrize(
    ("status", "code"), [(404, "userNotFound"), (400, "invalidUser"), (405, "graphRefused"), (410, "graphRefused")]
)
def test_refusals_are_final_at_once(status: int, code: str) -> None:
    """Asking again would not change the answer."""
    verdict = judge_revoke(answered(status), BROAD, token_has_revoked=False)
    assert verdict.effect is Effect.FINAL
    assert verdict.problem is not None
    assert verdict.problem.code == code


@pytest.mark.parametrize("status", [401, 412, 423, 424, 429])
def test_what_was_not_carried_out_is_sent_again(status: int) -> None:
    """A Graph that asks to slow down, or says that something else has to come first, has done nothing."""
    pause = timedelta(seconds=7)
    verdict = judge_revoke(answered(status, pause), BROAD, token_has_revoked=False)
    assert verdict.effect is Effect.RETRY
    assert verdict.pause in (pause, None)


@pytest.mark.parametrize("status", [401, 429])
def test_a_throttle_and_a_refused_token_need_no_body(status: int) -> None:
    """Whoever says so, the call was turned away at the door: it is sent again without a read."""
    verdict = judge_revoke(answered(status, body=None), BROAD, token_has_revoked=False)
    assert verdict.effect is Effect.RETRY


@pytest.mark.parametrize("status", [408, 409, 500, 501, 502, 503, 504, 508, 509, 520, 524, 599])
def test_a_server_error_may_hide_a_call_that_was_carried_out(status: int) -> None:
    """It is settled by reading before anything is sent again; only Graph's own 503 is believed soon."""
    pause = timedelta(seconds=7)
    verdict = judge_revoke(answered(status, pause), BROAD, token_has_revoked=False)
    ambiguity = Ambiguity.UNAVAILABLE if status == 503 else Ambiguity.ERROR
    assert (verdict.effect, verdict.ambiguity, verdict.pause) == (Effect.AMBIGUOUS, ambiguity, pause)


@pytest.mark.parametrize("body", [None, {}, {"message": "blocked"}, {"error": "blocked"}, {"error": {"code": 5}}])
@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 408, 409, 410, 412, 423, 424, 451, 501, 503, 520])
def test_an_answer_that_is_not_graphs_own_says_nothing(status: int, body: Any) -> None:
    """A gateway's page: the call may have been carried out behind it, and a read is made again."""
    answer = answered(status, body=body)
    verdict = judge_revoke(answer, EXACT, token_has_revoked=True)
    assert (verdict.effect, verdict.ambiguity) == (Effect.AMBIGUOUS, Ambiguity.ERROR)
    read = judge_read(answer)
    assert (read.effect, read.problem) == (Effect.RETRY, problems.GRAPH_UNAVAILABLE)


def test_a_lost_answer_is_in_doubt_and_an_unsent_call_is_not() -> None:
    """Only what may have reached Graph has to be settled."""
    assert judge_revoke(Answer(delivery=Delivery.LOST), BROAD, token_has_revoked=False).effect is Effect.AMBIGUOUS
    assert judge_revoke(Answer(delivery=Delivery.NOT_SENT), BROAD, token_has_revoked=False).effect is Effect.RETRY


@pytest.mark.parametrize("body", [None, {}, {"id": 5}, {"error": {}}])
def test_a_successful_read_without_a_user_is_no_success(body: dict[str, object] | None) -> None:
    """Graph's bodies are not trusted blindly."""
    answer = Answer(delivery=Delivery.ANSWERED, status=200, body=body)
    assert judge_read(answer).effect is Effect.RETRY


def test_a_forbidden_read_means_that_users_cannot_be_read() -> None:
    """It says nothing against the user."""
    verdict = judge_read(answered(403))
    assert (verdict.effect, verdict.problem) == (Effect.FORBIDDEN, None)


def test_missing_permissions_come_with_the_command_that_grants_them() -> None:
    """The command names the identity and the right app role."""
    lacking = missing(NONE, needs_groups=True)
    assert lacking == ["User.ReadWrite.All", "GroupMember.Read.All"]
    command = grant_command(lacking, NONE.principal_id)
    assert command is not None
    assert NONE.principal_id is not None
    assert command.count(NONE.principal_id) == 4
    assert "741f803b-c850-494e-b5df-cde7c675a1ca" in command
    assert grant_command([], None) is None


def test_least_privilege_lacks_only_the_permission_to_read() -> None:
    """User.RevokeSessions.All alone revokes; what it cannot do is prove."""
    assert missing(EXACT, needs_groups=False) == ["User.Read.All"]
