"""Mistakes that people make, each named in the words of the refusal, with what to send instead."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from mistakes import BODIES, ID, MEMBERS, NAMES

from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.message import parse_message
from revoke_core.domain.request import RequestLimits
from revoke_core.domain.request_body import parse_request, read_json

LIMITS = RequestLimits(max_users=100_000, require_reason=False)


def refusal(body: bytes) -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(read_json(body), LIMITS)
    return " ".join(fault["detail"] for fault in refused.value.listed())


@pytest.mark.parametrize(("name", "said"), NAMES)
def test_a_name_that_is_none_is_told_from_nine_others(name: str, said: str) -> None:
    """What is there is said, and what to send instead; over HTTP and by message alike."""
    body = json.dumps({"user": name}).encode()
    found = refusal(body)
    assert said in found
    assert "adele@contoso.com" in found or ID in found
    with pytest.raises(InvalidRequest, match="user"):
        parse_message(body.decode(), LIMITS)


@pytest.mark.parametrize(("body", "said"), BODIES)
def test_a_body_that_is_no_json_object_is_told_what_it_is(body: bytes, said: str) -> None:
    """A form, a list, another encoding: the sentence shows the JSON to send."""
    assert said in refusal(body)


@pytest.mark.parametrize(("members", "said"), MEMBERS)
def test_a_slip_in_a_field_is_named(members: dict[str, Any], said: str) -> None:
    """A name that nearly fits, a value of the wrong kind, a filter as it stands in a URL."""
    assert said in refusal(json.dumps(members).encode())


@pytest.mark.parametrize("blank", ["\u00a0", "\u200b", "\u2003", "\ufeff", "\t", "\u3000", "\u200d"])
def test_what_is_invisible_around_a_name_is_forgiven(blank: str) -> None:
    """It comes along when a name is copied from a page or a chat; inside a name it is named instead."""
    request = parse_request({"user": f"{blank}adele@contoso.com{blank}"}, LIMITS)
    assert [user.key for user in request.users] == ["adele@contoso.com"]


def test_a_filter_may_hold_any_quotation_mark_in_a_literal() -> None:
    """Only Graph can say whether it matches anybody."""
    text = "displayName eq 'The \"A\" team \u2019 O''Brien == &&'"
    assert parse_request({"filter": text}, LIMITS).filter == text


@pytest.mark.parametrize(
    "text",
    [
        base64.encodebytes(b'{"user": "adele@contoso.com", "reason": "' + b"x" * 100 + b'"}').decode(),
        base64.b64encode('{"user": "adele@contoso.com"}'.encode("utf-16-le")).decode(),
        base64.b64encode('{"user": "adele@contoso.com"}'.encode("utf-16")).decode(),
        base64.b64encode("adele@contoso.com".encode("utf-16-le")).decode(),
        json.dumps('{"user": "adele@contoso.com"}'),
        base64.b64encode(json.dumps('{"user": "adele@contoso.com"}').encode()).decode(),
    ],
)
def test_a_message_is_read_however_its_sender_wrapped_it(text: str) -> None:
    """Base64 in lines, PowerShell's UTF-16, JSON inside a JSON text: what it means is certain."""
    request, _ = parse_message(text, LIMITS)
    assert [user.key for user in request.users] == ["adele@contoso.com"]
