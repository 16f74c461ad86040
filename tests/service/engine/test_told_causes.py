"""What Graph says reaches the person who has to act on it: codes, permissions, request ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from engine import new_record, stored_run
from listing import code

from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.user_state import Counts, UserRow, UserStatus

if TYPE_CHECKING:
    from engine import Engine
    from listing import Directory

    from revoke_core.domain.request_record import RequestRecord

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


async def carried_out(engine: Engine, names: list[str], **more: Any) -> tuple[RequestRecord, list[UserRow]]:
    record = new_record(datetime.now(UTC), counts=Counts(total=len(names), pending=len(names)))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(names), **more))
    ended = await engine.resume(record.id, max_idle=0)
    return ended, await engine.log.all_rows(record.id)


@pytest.mark.parametrize("called", ["Authorization_IdentityNotFound", "InvalidAuthenticationToken"])
async def test_graphs_own_code_stands_in_the_warning_and_in_the_log(
    engine: Engine, directory: Directory, called: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No token: that has many causes; only Graph's code tells that the identity is not in this tenant."""
    caplog.set_level("INFO", "revoker")
    (user,) = await directory.people(1, "coded")
    error = {"error": {"code": called, "message": "not for a log"}}
    await directory.fault("^/users", times=None, status=401, body=error)
    record, _ = await carried_out(engine, [user])
    assert (await stored_run(engine.log, record.id)).blocked_by == "noToken"
    assert any(called in warning for warning in record.warnings)
    assert f'"graphCode": "{called}"' in caplog.text
    assert "not for a log" not in caplog.text


async def test_a_damaged_code_is_not_repeated(engine: Engine, directory: Directory) -> None:
    """It comes from outside: what is no code reaches no warning."""
    (user,) = await directory.people(1, "damaged")
    error = {"error": {"code": "<script>\n" * 100, "message": ""}}
    await directory.fault("^/users", times=None, status=401, body=error)
    record, _ = await carried_out(engine, [user])
    assert record.warnings
    assert not any("script" in warning for warning in record.warnings)


@pytest.mark.parametrize("count", [1, 3], ids=["single", "batch"])
async def test_a_refused_call_keeps_its_request_id(engine: Engine, directory: Directory, count: int) -> None:
    """A refused revoke leaves no trace in the directory's audit log: the id is what Microsoft's support asks for."""
    await directory.configure(adminTargets="refuse")
    names = await directory.people(count, f"refused{count}", isAdmin=True)
    _, rows = await carried_out(engine, names)
    assert {(row.status, code(row.problem)) for row in rows} == {(UserStatus.FAILED, "targetPrivileged")} or {
        code(row.problem) for row in rows
    } == {"appPermissionMissing"}
    ids = [row.graph_request_id for row in rows]
    assert all(identity and ID.fullmatch(identity) for identity in ids)


@pytest.mark.parametrize("count", [1, 2], ids=["single", "batch"])
async def test_a_refused_look_up_keeps_its_request_id_and_says_what_may_be_wrong(engine: Engine, count: int) -> None:
    """Whoever gave a mail address learns that it is not always a user principal name."""
    _, rows = await carried_out(engine, [f"nobody{number}@contoso.com" for number in range(count)])
    for row in rows:
        assert code(row.problem) == "userNotFound"
        assert row.graph_request_id
        assert row.problem
        assert "mail address" in row.problem.hint


async def test_a_missing_permission_is_named_in_words(engine: Engine, directory: Directory) -> None:
    """Not only as a GUID inside a command."""
    (user,) = await directory.people(1, "named")
    await directory.configure(grantedRoles=["User.Read.All"])
    _, (row,) = await carried_out(engine, [user])
    assert row.problem
    assert (row.problem.code, row.graph_request_id is not None) == ("appPermissionMissing", True)
    assert "User.ReadWrite.All" in row.problem.message
    assert "User.RevokeSessions.All" in row.problem.message


async def test_a_restricted_unit_is_not_called_an_administrator(engine: Engine, directory: Directory) -> None:
    """The two cannot be told apart: both are named, and that application permissions do not count in such a unit."""
    await directory.configure(grantedRoles=["User.RevokeSessions.All", "User.Read.All"], adminTargets="refuse")
    (user,) = await directory.people(1, "restricted", isAdmin=True)
    _, (row,) = await carried_out(engine, [user])
    assert row.problem
    assert row.problem.code == "targetPrivileged"
    assert "probably" not in row.problem.message
    assert (
        "restricted management administrative unit, where application permissions do not count" in row.problem.message
    )
