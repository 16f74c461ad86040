import base64
import time
from datetime import UTC, datetime, timedelta

import pytest

from revoke_core.domain.redaction import redacted, truncate_redacted
from revoke_core.domain.signing import fingerprint, is_valid, signature

NOW = datetime(2026, 9, 10, tzinfo=UTC)
KEY = b"k" * 32


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("token eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln end", "eyJhbGciOiJub25lIn0"),
        ("AccountName=x;AccountKey=abc+/123==;End", "abc+/123=="),
        ("https://x/api?sig=s3cr3t&x=1", "s3cr3t"),
        ("https://x/api?a=1&code=s3cr3t", "s3cr3t"),
        ("sig=s3cr3t", "s3cr3t"),
        ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh"),
        (r"https://x/api?a=1\u0026sig=s3cr3t", "s3cr3t"),
        ('{"code":"s3cr3t"}', "s3cr3t"),
        (r'"{\"code\":\"s3cr3t\"}"', "s3cr3t"),
        ("(code=s3cr3t)", "s3cr3t"),
        ("x-functions-key: s3cr3t", "s3cr3t"),
        ("Endpoint=sb://x;SharedAccessKey=s3cr3t=", "s3cr3t"),
        ("client_secret=s3cr3t", "s3cr3t"),
        ('"clientSecret" : "s3cr3t"', "s3cr3t"),
        (base64.b64encode(b"AccountKey=s3cr3t;x").decode(), "QWNjb3VudEtleT"),
        (base64.b64encode('{"sig":"s3cr3t"}'.encode("utf-16-le")).decode(), "ewAiAHMAaQBnA"),
    ],
)
def test_secrets_are_taken_out(text: str, secret: str) -> None:
    """A secret pasted into a message does not end up in the log."""
    assert secret not in redacted(text)


@pytest.mark.parametrize(
    "text",
    ["INC-1042, see code review", "postcode 12345", "/users/8f5d7f3e-0000-4000-8000-000000000001", "Zoë: café"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A reason is read by people: only secrets are taken out of it."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    "piece", ["eyJ", "bearer ", "sig=", '"', "AccountKey", "code:", "a.", r"\u0026", " ", "=", "QUJD"]
)
def test_no_text_makes_redaction_slow(piece: str) -> None:
    """Eight times the text takes no more than some ten times as long: anybody may send 64 KiB."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        took = []
        for _ in range(5):
            began = time.perf_counter()
            redacted(text)
            took.append(time.perf_counter() - began)
        return min(took)

    assert seconds(15_000) < 30 * seconds(1_875) + 0.005


def test_what_cannot_be_stored_is_replaced() -> None:
    """Half of a surrogate pair has no form in UTF-8."""
    assert redacted("a\ud800b") == "a?b"


def test_a_secret_at_the_cut_is_not_left_in_half() -> None:
    """Text is redacted before it is cut."""
    text = "x" * 1990 + " AccountKey=" + "s" * 100
    assert "ssss" not in truncate_redacted(text)
    assert len(truncate_redacted("y" * 100_000)) == 2000


def test_control_characters_do_not_reach_the_log() -> None:
    """No message can forge or colour a terminal line."""
    assert "\x1b" not in truncate_redacted("a\x1b[31mb\x00")


def test_a_signature_opens_one_request_for_48_hours() -> None:
    """Another id, another key, another time or another digit closes it."""
    signed = signature(KEY, "a", NOW)
    assert is_valid(KEY, "a", signed, NOW + timedelta(hours=47))
    assert not is_valid(KEY, "a", signed, NOW + timedelta(hours=49))
    assert not is_valid(KEY, "b", signed, NOW)
    assert not is_valid(b"o" * 32, "a", signed, NOW)
    stretched = f"{int(signed.split('.')[0]) + 1}.{signed.split('.')[1]}"
    for text in (stretched, signed[:-1], "", "x.y", "." + signed, signed + "A"):
        assert not is_valid(KEY, "a", text, NOW)


def test_a_fingerprint_tells_callers_apart_without_telling_keys() -> None:
    """The same key has the same name, and the name is no part of the key."""
    assert fingerprint(KEY, "one") == fingerprint(KEY, "one") != fingerprint(KEY, "two")
    assert "one" not in fingerprint(KEY, "one")
