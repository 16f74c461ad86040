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
    ],
)
def test_secrets_are_taken_out(text: str, secret: str) -> None:
    """A secret pasted into a message does not end up in the log."""
    assert secret not in redacted(text)


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
