import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ServerDisconnectedError

from local.simulator.server import running
from local.simulator.tenant import Tenant

ADELE = "/v1.0/users/adele@contoso.com"
GUEST = "guest_fabrikam.com%23EXT%23@contoso.com"
REVOKE = f"{ADELE}/revokeSignInSessions"


class Caller:
    """A client of one simulated tenant."""

    def __init__(self, session: ClientSession, root: str, tenant: Tenant) -> None:
        self.session = session
        self.root = root
        self.tenant = tenant
        self.token = ""

    async def new_token(self) -> str:
        """The identity's token of now."""
        query = {"api-version": "2019-08-01", "resource": "https://graph.microsoft.com"}
        headers = {"X-IDENTITY-HEADER": self.tenant.identity.header}
        async with self.session.get(f"{self.root}/msi/token", params=query, headers=headers) as answer:
            self.token = (await answer.json())["access_token"]
        return self.token

    async def graph(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """A Graph call: status, JSON and headers."""
        named = {"Authorization": f"Bearer {self.token or await self.new_token()}"} | headers
        async with self.session.request(method, self.root + path, json=body, headers=named) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)


@pytest.fixture
async def caller(session: ClientSession) -> AsyncIterator[Caller]:
    tenant = Tenant(bulk_users=1200, identity_header="h")
    async with running(tenant) as root:
        yield Caller(session, root, tenant)


async def test_a_revoke_answers_with_graphs_own_body_and_moves_the_cut_off(caller: Caller) -> None:
    """200 with the always-true Boolean; the cut-off has whole seconds; the log and the audit know of it."""
    before = (await caller.graph("GET", f"{ADELE}?$select=signInSessionsValidFromDateTime"))[1]
    status, body, headers = await caller.graph("POST", REVOKE)
    assert (status, body) == (
        200,
        {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Edm.Boolean", "value": True},
    )
    assert headers["request-id"]
    after = (await caller.graph("GET", f"{ADELE}?$select=signInSessionsValidFromDateTime"))[1]
    assert after["signInSessionsValidFromDateTime"] > before["signInSessionsValidFromDateTime"]
    caller.tenant.configure({"grantedRoles": ["AuditLog.Read.All"]})
    caller.tenant.identity.forget()
    await caller.new_token()
    audits = (await caller.graph("GET", "/v1.0/auditLogs/directoryAudits"))[1]["value"]
    assert len({row["correlationId"] for row in audits}) == 1
    assert len(audits) == 2


async def test_an_invited_user_gets_a_200_and_keeps_its_sessions(caller: Caller) -> None:
    """As field reports say."""
    status, _, _ = await caller.graph("POST", f"/v1.0/users/{GUEST}/revokeSignInSessions")
    assert status == 200
    assert [served.effective for served in caller.tenant.operations.served] == [False]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1.0/users/nobody@contoso.com", 404, "Request_ResourceNotFound"),
        ("/v1.0/users/$money@contoso.com", 400, "BadRequest"),
        ("/v1.0/users?$top=1000", 400, "BadRequest"),
        ("/v1.0/users?$filter=mail eq", 400, "BadRequest"),
        ("/v1.0/users?$filter=endsWith(mail,'x')", 400, "Request_UnsupportedQuery"),
        (f"{ADELE}/revokeSignInSessions", 405, "Request_BadRequest"),
    ],
)
async def test_refusals_have_graphs_status_and_code(caller: Caller, path: str, status: int, code: str) -> None:
    """A client is tested against what Graph answers, not against what it would like."""
    answered, body, _ = await caller.graph("GET", path)
    assert (answered, body["error"]["code"]) == (status, code)
    assert body["error"]["innerError"]["request-id"]


async def test_key_form_quotes_and_encodings_name_the_same_user(caller: Caller) -> None:
    """``users('…')`` with doubled apostrophes, ``%40``, and object ids in any case."""
    first = (await caller.graph("GET", "/v1.0/users('conor.o''neil@contoso.com')"))[1]["id"]
    assert (await caller.graph("GET", "/v1.0/users/conor.o'neil%40contoso.com"))[1]["id"] == first
    assert (await caller.graph("GET", f"/v1.0/users/{first.upper()}"))[1]["id"] == first
    assert (await caller.graph("GET", "/v1.0/users('$money@contoso.com')"))[0] == 200


async def test_a_batch_with_a_bodyless_write_is_refused_whole(caller: Caller) -> None:
    """None of its items runs."""
    item = {"id": "1", "method": "POST", "url": "/users/adele@contoso.com/revokeSignInSessions"}
    status, body, _ = await caller.graph("POST", "/v1.0/$batch", {"requests": [item]})
    assert status == 400
    assert "does not contain Content-Type header or body" in body["error"]["message"]
    assert caller.tenant.operations.served == []


async def test_a_batch_answers_each_item_by_itself(caller: Caller) -> None:
    """200 outside whatever happened inside, 424 for what depended on a failure, over 20 refused."""
    write = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": {}}
    items = [
        {"id": "a", "url": "/users/adele@contoso.com/revokeSignInSessions", **write},
        {"id": "b", "url": "/users/nobody@contoso.com/revokeSignInSessions", **write},
        {"id": "c", "url": "/users/bob@contoso.com/revokeSignInSessions", "dependsOn": ["b"], **write},
    ]
    status, body, _ = await caller.graph("POST", "/v1.0/$batch", {"requests": items})
    assert status == 200
    assert {response["id"]: response["status"] for response in body["responses"]} == {"a": 200, "b": 404, "c": 424}
    many = [{"id": str(number), "method": "GET", "url": "/users"} for number in range(21)]
    assert (await caller.graph("POST", "/v1.0/$batch", {"requests": many}))[0] == 400


async def test_a_granted_role_shows_only_in_a_new_token(caller: Caller) -> None:
    """The endpoint keeps a token for its life, as in Azure."""
    first = await caller.new_token()
    caller.tenant.configure({"grantedRoles": []})
    assert await caller.new_token() == first
    caller.tenant.identity.forget()
    assert (await caller.graph("POST", REVOKE))[0] == 401
    assert await caller.new_token() != first
    assert (await caller.graph("POST", REVOKE))[0] == 403


async def test_the_write_quota_sends_away_what_is_too_much_and_books_who_comes_early(caller: Caller) -> None:
    """429 with Retry-After; a call before that is written down."""
    caller.tenant.configure({"quota": {"model": "bucket", "capacity": 2, "refill": 0, "retryAfter": 30}})
    statuses = [(await caller.graph("POST", REVOKE))[0] for _ in range(2)]
    status, body, headers = await caller.graph("POST", REVOKE)
    assert (statuses, status, headers["Retry-After"]) == ([200, 200], 429, "30")
    assert body["error"]["code"] == "TooManyRequests"
    await caller.graph("POST", REVOKE)
    assert caller.tenant.gateway.gatekeeper.books.violations == 1


async def test_pages_lead_through_a_whole_list_even_when_some_are_empty(caller: Caller) -> None:
    """An empty page with a nextLink is not the end."""
    caller.tenant.configure({"emptyPages": 2})
    found, path, empty = set(), "/v1.0/users?$top=500", 0
    while path:
        body = (await caller.graph("GET", path))[1]
        empty += not body["value"]
        found |= {user["id"] for user in body["value"]}
        path = body.get("@odata.nextLink", "").removeprefix(caller.root)
    assert (len(found), empty) == (len(caller.tenant.directory.users), 2)


async def test_transitive_members_are_found_once_through_a_cycle(caller: Caller) -> None:
    """Nested groups that contain each other end."""
    group = next(group for group in caller.tenant.directory.groups.values() if group.display_name == "All of HP")
    members = (await caller.graph("GET", f"/v1.0/groups/{group.id}/transitiveMembers"))[1]["value"]
    users = [member["id"] for member in members if member["@odata.type"] == "#microsoft.graph.user"]
    assert len(users) == len(set(users)) == 3


async def test_a_scripted_fault_fires_as_often_as_requested(caller: Caller) -> None:
    """And no more; a call whose answer is dropped after the work has done its work."""
    caller.tenant.faults.add({"match": {"path": "revoke"}, "times": 1, "action": {"status": 503}})
    assert [(await caller.graph("POST", REVOKE))[0] for _ in range(2)] == [503, 200]
    caller.tenant.faults.add({"match": {"path": "revoke"}, "action": {"drop": "after"}})
    with pytest.raises(ServerDisconnectedError):
        await caller.graph("POST", REVOKE)
    assert [fault.fired for fault in caller.tenant.faults.listed] == [1, 1]
    assert [served.status for served in caller.tenant.operations.served] == [503, 200, 200]


async def test_the_cut_off_lags_as_long_as_configured(caller: Caller) -> None:
    """Reads show the old value until then."""
    caller.tenant.configure({"lagSeconds": 1})
    path = f"{ADELE}?$select=signInSessionsValidFromDateTime"
    before = (await caller.graph("GET", path))[1]
    await caller.graph("POST", REVOKE)
    assert (await caller.graph("GET", path))[1] == before
    for _ in range(30):
        await asyncio.sleep(0.1)
        if (await caller.graph("GET", path))[1] != before:
            return
    pytest.fail("the cut-off never moved")
