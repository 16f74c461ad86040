"""Where callbacks may go, what their signature is, and when they are tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from local.receiver import signature_fault
from revoke_core.domain.callback import (
    CALLBACK_LIFETIME,
    CallbackEvent,
    callback_mistake,
    host_of,
    next_try,
    parse_host,
    parse_secret,
    signed_headers,
    webhook_id,
)
from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.redaction import redacted
from revoke_core.domain.request import RequestLimits
from revoke_core.domain.request_body import parse_own_request, parse_retry

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTS = frozenset({"hooks.contoso.com", "xn--bcher-kva.contoso.com", "127.0.0.1", "localhost", "::1"})
LIMITS = RequestLimits(max_users=10, require_reason=False, callback_hosts=HOSTS)
NOON = datetime(2026, 9, 10, 12, 0, tzinfo=UTC)
LOGIC_APPS = (
    "https://hooks.contoso.com:443/workflows/3f/runs/08/actions/Wait/run?api-version=2016-10-01"
    "&sp=%2Fruns%2F08%2Factions%2FWait%2Frun&sv=1.0&sig=x7Yz-_"
)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.contoso.com",
        "https://hooks.contoso.com/",
        "HTTPS://Hooks.Contoso.COM/done?a=b@c:d",
        "https://hooks.contoso.com:8443/done",
        "https://xn--bcher-kva.contoso.com/x",
        "http://127.0.0.1:7091/",
        "http://localhost/done",
        "http://[::1]:7091/",
        LOGIC_APPS,
    ],
)
def test_a_host_on_the_list_may_be_called(url: str) -> None:
    """Any port, any case, any path; the client that connects finds the same host in it."""
    assert callback_mistake(url, HOSTS) is None
    assert (URL(url, encoded=True).raw_host or "").lower() == host_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.contoso.com/",
        "https://hooks.contoso.com@evil.contoso.com/",
        "https://hooks.contoso.com:pass@evil.contoso.com/",
        "https://user@hooks.contoso.com/",
        "https://evil.contoso.com#@hooks.contoso.com/",
        "https://evil.contoso.com\\@hooks.contoso.com/",
        "https://hooks.contoso.com\\.evil.contoso.com/",
        "https://hooks.contoso.com.evil.contoso.com/",
        "https://xhooks.contoso.com/",
        "https://hooks.contoso.com./",
        "https://hooks%2econtoso.com/",
        "https://hooks.contoso.com/#part",
        "https://hooks.contoso.com/a b",
        "https://hooks.contoso.com/\n",
        "https://hooks.contoso.com/\r\nHost: evil.contoso.com",
        " https://hooks.contoso.com/",
        "https:hooks.contoso.com/",
        "https:///hooks.contoso.com/",
        "https://hooks.contoso.com:0/",
        "https://hooks.contoso.com:65536/",
        "https://hooks.contoso.com:/",
        "https://hooks\u3002contoso.com/",
        "https://\uff48ooks.contoso.com/",
        "https://b\u00fccher.contoso.com/",
        "https://hooks.contoso.com/\u00fc",
        "http://hooks.contoso.com/",
        "http://127.0.0.1.evil.contoso.com/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "ftp://hooks.contoso.com/",
        "file:///etc/passwd",
        "//hooks.contoso.com/",
        "hooks.contoso.com",
        "",
        "https://hooks.contoso.com/" + "x" * 2000,
    ],
)
def test_no_other_text_gets_through(url: str) -> None:
    """Names in front of an at sign, other writings of a dot or an address, headers in a line break: all are refused."""
    assert callback_mistake(url, HOSTS)


def test_a_refusal_names_the_host_and_nothing_that_may_be_secret() -> None:
    """The person who sent it learns which setting to ask for."""
    detail = callback_mistake("https://evil.contoso.com/x?sig=c2VjcmV0", HOSTS)
    assert detail
    assert "evil.contoso.com" in detail
    assert "CALLBACK_HOSTS" in detail
    assert "c2VjcmV0" not in detail
    off = callback_mistake(LOGIC_APPS, frozenset())
    assert off
    assert "CALLBACK_HOSTS and CALLBACK_SECRET" in off


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("hooks.contoso.com", "hooks.contoso.com"),
        ("Hooks.Contoso.COM", "hooks.contoso.com"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("https://hooks.contoso.com", None),
        ("hooks.contoso.com:443", None),
        ("*.contoso.com", None),
        ("hooks.contoso.com/", None),
        ("b\u00fccher.contoso.com", None),
        ("user@hooks.contoso.com", None),
    ],
)
def test_an_operator_lists_exact_hosts(given: str, host: str | None) -> None:
    """A wildcard, a port or a URL would seem to work and match nothing."""
    assert parse_host(given) == host


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("whsec_" + base64.b64encode(b"k" * 24).decode(), 24),
        ("whsec_" + base64.b64encode(b"k" * 64).decode(), 64),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), None),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), None),
        (base64.b64encode(b"k" * 32).decode(), None),
        ("whsec_" + "-" * 43 + "=", None),
        ("whsec_", None),
    ],
)
def test_a_secret_has_24_to_64_bytes(text: str, size: int | None) -> None:
    """What the specification asks for; a shorter one could be guessed."""
    key = parse_secret(text)
    assert (key and len(key)) == size


def test_the_signature_is_the_one_of_the_specification() -> None:
    """HMAC-SHA256 over id, time and body with full stops between, in base64 behind ``v1,``; made here step by step."""
    key = bytes(range(32))
    moment = datetime(2026, 9, 10, 14, 32, 27, 999_000, tzinfo=UTC)
    body = '{"reason":"Überfall"}'.encode()
    headers = signed_headers(key, "msg_1", moment, body)
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key.ljust(64, b"\0")) + b"msg_1.1789050747." + body)
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key.ljust(64, b"\0")) + inner.digest())
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1789050747",
        "webhook-signature": "v1," + base64.b64encode(outer.digest()).decode(),
    }


def test_the_receiver_of_the_kit_believes_nothing_else() -> None:
    """Another body, id, time, secret or version is refused, and an old signature; one good one of several is enough."""
    key, now = b"k" * 32, NOON.timestamp()
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signed_headers(key, "a-ended", NOON, b"{}")
    assert signature_fault(secret, headers, b"{}", now + 299) is None
    assert signature_fault(secret, headers, b"{ }", now)
    assert signature_fault(secret, headers, b"{}", now + 301)
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    assert signature_fault(other, headers, b"{}", now)
    for name, value in (("webhook-id", "b-ended"), ("webhook-timestamp", str(int(now) + 1)), ("webhook-id", "")):
        assert signature_fault(secret, headers | {name: value}, b"{}", now)
    wrong = "v1," + base64.b64encode(hmac.digest(b"old", b"", "sha256")).decode()
    signed = headers["webhook-signature"]
    assert signature_fault(secret, headers | {"webhook-signature": f"{wrong} v1a,x {signed}"}, b"{}", now) is None
    assert signature_fault(secret, headers | {"webhook-signature": signed.replace("v1,", "v2,")}, b"{}", now)


def test_an_event_has_one_id_without_a_full_stop() -> None:
    """The same at every try; a full stop in it would let two texts be signed alike."""
    request_id = new_request_id(NOON)
    ids = {webhook_id(request_id, event) for event in CallbackEvent}
    assert len(ids) == 2
    assert webhook_id(request_id, CallbackEvent.ENDED) in ids
    assert not any("." in one for one in ids)


def test_pauses_double_for_a_day() -> None:
    """5 s, 10 s … and a last try when the day is over; nobody is called after that."""
    now, tries = NOON, []
    while (moment := next_try(NOON, len(tries) + 1, now)) is not None:
        tries.append((moment - now).total_seconds())
        now = moment
    assert tries[:4] == [5, 10, 20, 40]
    assert all(later == 2 * earlier for earlier, later in pairwise(tries[:-1]))
    assert now == NOON + CALLBACK_LIFETIME
    assert len(tries) == 15
    assert next_try(NOON, 10_000, NOON + timedelta(minutes=1))


@pytest.mark.parametrize("parse", [parse_retry, lambda body: parse_own_request(body, "x", LIMITS)])
def test_a_retry_and_a_request_for_oneself_take_none(parse: Callable[[dict[str, str]], object]) -> None:
    """The first takes nothing but a key, the second a reason besides."""
    with pytest.raises(InvalidRequest) as refused:
        parse({"callbackUrl": LOGIC_APPS})
    assert [fault.pointer for fault in refused.value.faults] == ["/callbackUrl"]
    assert "sig=" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"callbackUrl": "https://h.contoso.com/p?k=TOPSECRET&n=1"}),
        json.dumps({"callbackUrl": "https://h.contoso.com/TOPSECRET"}).replace("/", r"\/"),
        json.dumps(json.dumps({"callbackUrl": "https://h.contoso.com/a?b&TOPSECRET"})),
        r'{"CallbackURL" : "https:\u002f\u002fh.contoso.com\u002fTOPSECRET',
        "callback_url=https://h.contoso.com/p?k=1&x=TOPSECRET",
        base64.b64encode(b'{"callbackUrl": "https://h.contoso.com/p?k=1&x=TOPSECRET"}').decode(),
    ],
)
def test_a_callback_url_in_a_text_is_taken_out_whole(text: str) -> None:
    """The names of what is secret in it are its receiver's, so no pattern could know them."""
    assert "TOPSECRET" not in redacted(text)
    assert "redacted" in redacted(text)
