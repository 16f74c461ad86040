"""The queue senders: each message is a request that the app reads, in every encoding that its tool produces."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from revoke_core.domain.message import parse_message
from revoke_core.domain.request import RequestLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients import Api, Tenant

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "senders"
USERS = ["conor.o'neil+hr@contoso.com", "8f5d1c2e-0000-4000-8000-000000000001"]
REASON = 'leaver "Zoë" & C:\\hr\\4711'
KEY = "hr-4711"
LIMITS = RequestLimits(max_users=100, require_reason=False)


def is_the_request(text: str, requested_by: str) -> bool:
    """Whether the app takes a message for exactly the request that was meant."""
    request, claims = parse_message(text, LIMITS)
    assert [user.given for user in request.users] == USERS
    assert request.reason == REASON
    assert (claims.idempotency_key, claims.requested_by) == (KEY, requested_by)
    return True


def members(text: str, opening: str, line: str) -> list[str]:
    """The members that a literal in some language gives a message, in order."""
    literal = text.split(opening)[1].split("}", maxsplit=1)[0]
    return re.findall(line, literal, re.MULTILINE)


def escaped(text: str, characters: str) -> str:
    """JSON with more escapes than Python writes."""
    return "".join(f"\\u{ord(one):04X}" if one in characters or ord(one) > 126 else one for one in text)


def base64_of(encoding: str) -> Callable[[str], str]:
    return lambda text: base64.b64encode(text.encode(encoding)).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "base64": base64_of("utf-8"),
    "base64 of UTF-16": base64_of("utf-16-le"),
    "base64 of UTF-16 with a mark": base64_of("utf-16"),
}


async def test_the_python_sender_reaches_the_app_and_a_repetition_adds_nothing(
    api: Api, tenant: Tenant, connection: str, person: dict[str, Any]
) -> None:
    """The script as it is shipped, twice: the user is revoked once, and the log names the sender's claim."""
    command = [
        sys.executable,
        str(FOLDER / "send.py"),
        "--key",
        f"leaver-{person['id']}",
        "--reason",
        REASON,
        person["id"],
    ]
    for _ in range(2):
        sender = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"AZURE_STORAGE_CONNECTION_STRING": connection}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await sender.communicate()
        assert (sender.returncode, output[:5]) == (0, b"Sent.")
    done = await api.of_user(person["id"])
    assert (done.user["status"], done.json["reason"]) == ("verified", REASON)
    assert done.json["requestedBy"] | {"name": "HR script", "claim": True} == done.json["requestedBy"]
    assert len((await api.get(f"revocations?user={person['id']}")).json["value"]) == 1
    assert len(await tenant.served(person["id"])) == 1


def test_the_bash_sender_gives_az_a_whole_message(tmp_path: Path) -> None:
    """Quotes, backslashes and apostrophes reach the app as they were given; az stands for itself."""
    (tmp_path / "az").write_text('#!/bin/sh\nprintf \'%s\\0\' "$@" >"$0.arguments"\n')
    (tmp_path / "az").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([FOLDER / "send.sh", "strevoker", KEY, REASON, *USERS], check=True, env=environment)
    arguments = (tmp_path / "az.arguments").read_text().split("\0")
    assert arguments[:3] == ["storage", "message", "put"]
    options = dict(zip(arguments[3::2], arguments[4::2], strict=False))
    assert (options["--queue-name"], options["--account-name"]) == ("revocation-requests", "strevoker")
    assert is_the_request(options["--content"], "HR script")


def test_the_bash_sender_without_a_user_says_how_it_is_used() -> None:
    """It sends nothing then."""
    done = subprocess.run([FOLDER / "send.sh", "strevoker", KEY, REASON], check=False, capture_output=True)
    assert (done.returncode, done.stderr[:6]) == (2, b"Usage:")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("characters", ["", "'<>&"], ids=["PowerShell 7", "Windows PowerShell"])
def test_the_powershell_message_is_read_however_it_is_encoded(encoding: str, characters: str) -> None:
    """Windows PowerShell escapes more; people encode as UTF-16 because that is what Unicode is called there."""
    text = (FOLDER / "send.ps1").read_text()
    names = members(text, "[ordered]@{", r"^\s+(\w+)\s+= ")
    by = re.findall(r"\$RequestedBy = '([^']+)'", text)[0]
    message = json.dumps(
        dict(zip(names, [USERS, REASON, KEY, by], strict=True)), separators=(",", ":"), ensure_ascii=False
    )
    written = message if not characters else escaped(message, characters)
    assert is_the_request(ENCODINGS[encoding](written), by)


@pytest.mark.parametrize("encoding", ["plain", "base64"])
def test_the_dotnet_message_is_read_with_either_option(encoding: str) -> None:
    """QueueMessageEncoding.None and Base64; the serializer escapes what HTML might take for its own."""
    text = (FOLDER / "dotnet" / "Program.cs").read_text()
    names = members(text, "Serialize(new\n{", r"^\s+(\w+) = ")
    by = re.findall(r'requestedBy = "([^"]+)"', text)[0]
    message = json.dumps(
        dict(zip(names, [USERS, REASON, KEY, by], strict=True)), separators=(",", ":"), ensure_ascii=False
    )
    assert is_the_request(ENCODINGS[encoding](escaped(message, "'<>&+")), by)


def test_every_sender_names_the_queue_of_the_app() -> None:
    """A typing error there would make a queue that nobody reads."""
    for path in (FOLDER / "send.sh", FOLDER / "send.ps1", FOLDER / "send.py", FOLDER / "dotnet" / "Program.cs"):
        assert "revocation-requests" in path.read_text(), path
