import base64
import json

import pytest

from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.message import parse_message
from revoke_core.domain.request import RequestLimits

LIMITS = RequestLimits(max_users=1000, require_reason=False)
UPN = "adele@contoso.com"
GUID = "8f5d1c2e-0000-4000-8000-00000000abcd"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        UPN,
        f"  {UPN}\r\n",
        GUID,
        json.dumps({"user": UPN}),
        "\ufeff" + json.dumps({"user": UPN}),
        json.dumps(UPN),
        encoded(UPN),
        encoded(GUID),
        encoded(json.dumps({"user": UPN})),
        encoded("\ufeff" + json.dumps({"user": UPN}) + "\n"),
    ],
)
def test_every_form_a_sender_may_use_is_read(text: str) -> None:
    """Bare names, JSON, and base64 of either are the same request."""
    request, _ = parse_message(text, LIMITS)
    assert request.users[0].text in (UPN, GUID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "\x00\x01\x02",
        encoded(encoded(UPN)),
        encoded("garbage"),
        "[]",
        "[1, 2",
        "5",
        "null",
        "{not json}",
        "x" * 65536,
        "mail:adele@contoso.com",
        encoded("sid:S-1-5-21-1004336348-1177238915-682003330-1104"),
        json.dumps("unresolved:adele"),
        base64.b64encode(bytes(range(256))).decode(),
    ],
)
def test_what_cannot_be_read_is_a_fault_and_nothing_else(text: str) -> None:
    """Noise of any kind ends as a fault that says what to send."""
    with pytest.raises(InvalidRequest) as refused:
        parse_message(text, LIMITS)
    assert refused.value.faults


def test_an_unknown_field_is_named() -> None:
    """A typing error in a field name is not a request for something else."""
    with pytest.raises(InvalidRequest) as refused:
        parse_message(json.dumps({"usr": UPN}), LIMITS)
    assert "/usr" in {fault.pointer for fault in refused.value.faults}


def test_a_message_may_carry_its_key_and_its_sender() -> None:
    """Both are read beside the request, and only from messages."""
    text = json.dumps({"user": UPN, "idempotencyKey": "k-1", "requestedBy": "HR"})
    _, claims = parse_message(text, LIMITS)
    assert (claims.idempotency_key, claims.requested_by) == ("k-1", "HR")
