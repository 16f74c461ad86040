"""``POST /api/me/revocations``: a person ends its own sessions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from entra_calls import ROLES, SOMEONE, is_problem, submitted
from principals import SUBMIT, application, signed_in

if TYPE_CHECKING:
    from clients import Api, Tenant


async def test_a_person_ends_its_own_sessions(app: Api, directory: Tenant, user: dict[str, Any]) -> None:
    """No role, no body, no user named: the caller is revoked, proven, and may read how it went."""
    caller = signed_in(object_id=user["id"])
    reply = await submitted(app, caller, None, "me/revocations")
    assert (reply.status, reply.json["status"], reply.json["source"]) == (200, "succeeded", "http")
    assert (reply.user["userId"], reply.user["status"]) == (user["id"], "verified")
    assert len(await directory.served(user["id"])) == 1
    request_id = reply.json["id"]
    for path in (f"revocations/{request_id}", f"revocations/{request_id}/users"):
        assert (await app.call("GET", path, headers=caller)).status == 200
        assert (await app.call("GET", path, headers=signed_in())).status == 403
        assert (await app.call("GET", path, headers=signed_in(SUBMIT))).status == 404


async def test_own_sessions_keep_key_preference_and_reason(app: Api, directory: Tenant, user: dict[str, Any]) -> None:
    """The route is another, the rules are the same."""
    caller, key = signed_in(object_id=user["id"]), str(uuid.uuid4())
    body = {"reason": "lost phone"}
    first = await submitted(app, caller, body, "me/revocations", Idempotency_Key=key, Prefer="wait=60")
    again = await submitted(app, caller, body, "me/revocations", Idempotency_Key=key)
    assert first.json["id"] == again.json["id"]
    assert (first.json["reason"], first.headers["Preference-Applied"]) == ("lost phone", "wait=60")
    other = await submitted(app, caller, {"reason": "another"}, "me/revocations", Idempotency_Key=key)
    assert is_problem(other, 409)
    assert len(await directory.served(user["id"])) == 1
    later = await submitted(app, caller, body, "me/revocations", Prefer="respond-async")
    assert later.status == 202


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"user": "bob@contoso.com"}, ["/user"]),
        ({"users": ["bob@contoso.com"], "reason": "x"}, ["/users"]),
        ({"groups": ["x"], "dryRun": True, "exclude": []}, ["/groups", "/dryRun", "/exclude"]),
        ({"id": SOMEONE, "reason": 5}, ["/id", "/reason"]),
        ([], [""]),
        ("reason", [""]),
    ],
)
async def test_own_sessions_take_a_reason_and_nothing_else(
    app: Api, directory: Tenant, user: dict[str, Any], body: Any, pointers: list[str]
) -> None:
    """A caller that names another user is refused, not quietly served with its own sessions."""
    caller = signed_in(SUBMIT, object_id=user["id"])
    reply = await submitted(app, caller, body, "me/revocations")
    assert is_problem(reply, 400)
    assert [fault["pointer"] for fault in reply.json["errors"]] == pointers
    assert await directory.served(user["id"]) == []


@pytest.mark.parametrize("roles", ROLES)
async def test_an_application_has_no_own_sessions(app: Api, roles: str) -> None:
    """403 says what to do instead."""
    reply = await submitted(app, application(*ROLES[roles]), None, "me/revocations")
    assert is_problem(reply, 403)
    assert "POST /api/revocations" in reply.json["detail"]
