"""Calls of an app that asks for Entra principals, and what is said of its answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from principals import CONFIRM, READ, SUBMIT

if TYPE_CHECKING:
    from clients import Api, Reply

ROLES = {"none": (), "submit": (SUBMIT,), "read": (READ,), "confirm": (CONFIRM,), "all": (SUBMIT, READ, CONFIRM)}
ROUTES = (
    *("POST revocations", "POST revocations/from/risky-users", "GET revocations", "GET revocations/{id}"),
    *("GET revocations/{id}/users", "GET readiness"),
)
# What is posted to a route that takes a body.
BODIES = {"revocations": {"user": "bob@contoso.com"}, "revocations/from/risky-users": {"value": []}}
SOMEONE = "8f5d1c2e-0000-4000-8000-0000000000aa"


async def submitted(app: Api, caller: dict[str, str], body: Any, path: str = "revocations", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body)
    return await app.call("POST", path, headers=caller | named, data=data)


async def called(app: Api, route: str, caller: dict[str, str], request_id: str) -> Reply:
    method, path = route.format(id=request_id).split()
    data = json.dumps(BODIES[path]) if path in BODIES and method == "POST" else None
    return await app.call(method, path, headers=caller, data=data)


def is_problem(reply: Reply, status: int) -> bool:
    described = reply.headers["Content-Type"] == "application/problem+json" and reply.json["status"] == status
    return reply.status == status and described and bool(reply.json["detail"])
