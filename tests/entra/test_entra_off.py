"""With the setting off nothing of it is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from entra_calls import ROUTES, called
from principals import CONFIRM, HEADER, READ, SUBMIT, signed_in

if TYPE_CHECKING:
    from clients import Api


@pytest.mark.parametrize("route", ROUTES)
async def test_with_the_setting_off_a_principal_opens_nothing(api: Api, route: str) -> None:
    """A forged header is no key."""
    reply = await called(api, route, signed_in(SUBMIT, READ, CONFIRM), "0" * 12 + "-" + "0" * 32)
    assert (reply.status, reply.text) == (401, "")


@pytest.mark.parametrize(
    "forged", [signed_in(), signed_in(SUBMIT), {HEADER: "!!!"}], ids=["no role", "submit", "malformed"]
)
async def test_with_the_setting_off_a_principal_changes_nothing(
    api: Api, person: dict[str, Any], forged: dict[str, str]
) -> None:
    """Beside a key it neither names the caller nor takes anything away from it."""
    bare = await api.submit({"user": person["id"]})
    beside = await api.call("POST", "revocations", headers=api.key | forged, data=json.dumps({"user": person["id"]}))
    assert beside.status == 200
    assert beside.json["requestedBy"] == bare.json["requestedBy"]
    assert beside.json["requestedBy"]["kind"] == "key"
    for path in (f"revocations/{bare.json['id']}", "revocations?pageSize=1", "readiness"):
        assert (await api.call("GET", path, headers=api.key | forged)).status == 200


@pytest.mark.parametrize("caller", ["principal", "key", "both"])
async def test_with_the_setting_off_own_sessions_are_no_route(api: Api, caller: str) -> None:
    """404 without a body, as for anything the host does not know."""
    headers = {"principal": signed_in(), "key": api.key, "both": api.key | signed_in()}[caller]
    reply = await api.call("POST", "me/revocations", headers=headers, data="{}")
    assert (reply.status, reply.text) == (404, "")
