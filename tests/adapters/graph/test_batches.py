import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph.batch import batch_answers, batch_body, json_object, single_answer
from revoke_core.adapters.graph.identity import GraphIdentity, token_facts
from revoke_core.adapters.graph.paths import revoke_path
from revoke_core.adapters.graph.transport import GraphTransport, Reply
from revoke_core.domain.identifiers import parse_user
from revoke_core.domain.responses import Delivery

NOW = datetime(2026, 9, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("adele@contoso.com", "/users/adele@contoso.com"),
        ("8F5D1C2E-0000-4000-8000-00000000ABCD", "/users/8f5d1c2e-0000-4000-8000-00000000abcd"),
        ("x_y.com#EXT#@contoso.com", "/users/x_y.com%23EXT%23@contoso.com"),
        ("conor.o'neil@contoso.com", "/users/conor.o%27neil@contoso.com"),
        ("$o'neil@contoso.com", "/users('$o''neil@contoso.com')"),
    ],
)
def test_a_users_name_becomes_a_safe_path(name: str, path: str) -> None:
    """Hash signs are encoded, a leading dollar takes the key form, apostrophes are doubled only there."""
    user = parse_user(name)
    assert user is not None
    assert revoke_path(user) == f"{path}/revokeSignInSessions"


def test_every_write_of_a_batch_carries_a_type_and_a_body() -> None:
    """Without them Graph refuses the whole batch."""
    (item,) = json.loads(batch_body("POST", ["/users/x/revokeSignInSessions"]))["requests"]
    assert (item["headers"], item["body"]) == ({"Content-Type": "application/json"}, {})


def batch_reply(content: Any, status: int = 200) -> Reply:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(delivery=Delivery.ANSWERED, status=status, headers={"request-id": "r"}, body=body)


def test_an_item_keeps_its_own_request_id() -> None:
    """In a header, or in Graph's error body; only where it has none does the batch's stand for it."""
    own, inner = "8f5d1c2e-0000-4000-8000-00000000abcd", "8f5d1c2e-0000-4000-8000-00000000ef01"
    error = {"error": {"code": "Authorization_RequestDenied", "innerError": {"request-id": inner}}}
    responses = [
        {"id": "0", "status": 403, "headers": {"request-id": own}, "body": error},
        {"id": "1", "status": 403, "body": error},
        {"id": "2", "status": 403, "body": {"error": {"innerError": {"request-id": "<x>"}}}},
    ]
    answers = batch_answers(batch_reply({"responses": responses}), 3, NOW)
    assert [answer.request_id for answer in answers] == [own, inner, "r"]


def test_items_are_matched_by_id_and_what_is_missing_or_doubled_is_lost() -> None:
    """The batch's own 200 means nothing for its items."""
    responses = [
        {"id": "2", "status": 429, "headers": {"Retry-After": "7"}},
        {"id": "0", "status": "200", "body": {"value": True}},
        {"id": "3", "status": 200},
        {"id": "3", "status": 200},
        {"id": "9", "status": 200},
    ]
    answers = batch_answers(batch_reply({"responses": responses}), 5, NOW)
    assert [answer.delivery for answer in answers] == ["answered", "lost", "answered", "lost", "lost"]
    assert [answers[0].status, answers[2].status] == [200, 429]
    assert answers[2].retry_after is not None


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"responses": 5}', b'{"responses": [5]}'])
def test_an_unreadable_success_is_lost_for_every_item(content: bytes) -> None:
    """The calls may have been carried out: they are settled by reading."""
    assert {answer.delivery for answer in batch_answers(batch_reply(content), 2, NOW)} == {Delivery.LOST}


@pytest.mark.parametrize("status", ["1e999", "-1e999", "NaN", '"200.5"', "null", "{}", "99", "600", "1" * 400])
def test_an_item_without_a_status_is_lost(status: str) -> None:
    """Python's JSON reader takes Infinity for a number; it is no status."""
    body = f'{{"responses":[{{"id":"0","status":{status}}},{{"id":"1","status":200}}]}}'
    assert [answer.delivery for answer in batch_answers(batch_reply(body.encode()), 2, NOW)] == ["lost", "answered"]


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", rb"x\uD83D\u0041"])
def test_half_a_character_becomes_a_question_mark(half: bytes) -> None:
    """Stored as it is, it would keep its user's row from being written for ever; a whole character stays."""
    body = rb'{"id":"' + half + rb'","name":"\ud83d\ude00"}'
    content = json_object(body)
    assert content is not None
    assert "?" in content["id"].encode().decode()
    assert content["name"] == "\N{GRINNING FACE}"
    assert json_object(b'{"id":"\xed\xa0\xbd"}') is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_status_of_a_failed_batch_is_every_items(status: int) -> None:
    """None of them was answered by itself."""
    assert {answer.status for answer in batch_answers(batch_reply(b"<html>", status), 3, NOW)} == {status}


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_refused_batch_means_nothing_for_its_items(status: int) -> None:
    """That the batch is not found does not mean that 20 users are not."""
    reply = batch_reply({"error": {"code": "BadRequest", "message": ""}}, status)
    assert {answer.delivery for answer in batch_answers(reply, 3, NOW)} == {Delivery.UNOPENED}


@pytest.mark.parametrize("ahead", [timedelta(seconds=1.9), timedelta(hours=-1), timedelta(days=30)])
def test_a_date_to_wait_for_is_counted_by_graphs_clock(ahead: timedelta) -> None:
    """A clock that goes wrong here makes no pause shorter, in a call of its own and in a batch."""
    until = "Thu, 10 Sep 2026 14:32:57 GMT"
    date = {"date": "Thu, 10 Sep 2026 14:32:27 GMT"}
    single = Reply(delivery=Delivery.ANSWERED, status=429, headers=date | {"retry-after": until})
    item = batch_reply({"responses": [{"id": "0", "status": 429, "headers": {"RETRY-AFTER": until}}]})
    batch = Reply(delivery=item.delivery, status=200, headers=date, body=item.body)
    here = datetime(2026, 9, 10, 14, 32, 27, tzinfo=UTC) + ahead
    for answer in (single_answer(single, here), *batch_answers(batch, 1, here)):
        assert answer.retry_after == timedelta(seconds=30)


def test_an_item_without_a_pause_has_the_envelopes() -> None:
    """Its own counts where it has one."""
    responses = [{"id": "0", "status": 429}, {"id": "1", "status": 429, "headers": {"retry-after": "3"}}]
    body = json.dumps({"responses": responses}).encode()
    reply = Reply(delivery=Delivery.ANSWERED, status=424, headers={"retry-after": "20"}, body=body)
    assert [answer.retry_after for answer in batch_answers(reply, 2, NOW)] == [
        timedelta(seconds=20),
        timedelta(seconds=3),
    ]


def test_next_links_are_followed_on_the_configured_host_only() -> None:
    """The token goes nowhere else."""
    clock = SystemClock()
    identity = GraphIdentity(client_id=None, resource="https://graph.microsoft.com", clock=clock)
    wire = GraphTransport(endpoint="https://graph.microsoft.com", identity=identity, clock=clock)
    assert wire.relative("https://graph.microsoft.com/v1.0/groups/x?$skiptoken=1") == "/groups/x?$skiptoken=1"
    for link in ("https://evil.example/v1.0/x", "http://graph.microsoft.com/v1.0/x", "https://graph.microsoft.com/x"):
        assert wire.relative(link) is None


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.W10.c", "a.e30"])
def test_an_unreadable_token_yields_no_false_facts(token: str) -> None:
    """Unknown roles are unknown, not absent; only a readable token can prove that it carries none."""
    facts = token_facts(token)
    assert facts.roles in (None, frozenset())
    assert facts.roles is None or token.startswith("a.e30")
