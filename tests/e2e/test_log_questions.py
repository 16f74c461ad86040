import csv
import io
from typing import Any

import pytest
from clients import Api, Tenant

from revoke_core.domain.identifiers import accepted_at
from revoke_core.domain.timestamps import parsed


async def test_a_users_history_is_found_by_id_and_by_name_even_when_deleted(
    api: Api, tenant: Tenant, person: dict[str, Any]
) -> None:
    """Has this user been revoked, when, by whom: absence is an answer too."""
    request_id = (await api.submit({"user": person["id"], "reason": "left"})).json["id"]
    async with api._session.delete(f"{tenant.root}/_sim/users/{person['id']}") as gone:
        assert gone.status == 204
    await tenant.new_user(person["userPrincipalName"], id=person["id"])
    for name in (person["id"], person["userPrincipalName"].upper()):
        (entry,) = (await api.get(f"revocations?user={name}")).json["value"]
        assert entry["id"] == request_id
        assert [user["userId"] for user in entry["users"]] == [person["id"]]
    absent = await api.get("revocations?user=never@contoso.com")
    assert (absent.status, absent.json) == (200, {"value": []})


async def test_lists_are_paged_newest_first(api: Api) -> None:
    """Every page leads to the next until all were seen once."""
    made = [(await api.submit({"user": "nobody@contoso.com"})).json["id"] for _ in range(5)]
    since = (await api.get(f"revocations/{made[0]}")).json["requestedAt"]
    assert accepted_at(made[0]) == parsed(since), "the id, which lists are read by, tells another time"
    seen, link = [], f"revocations?since={since}&pageSize=2&status=failed"
    while link:
        page = (await api.get(link)).json
        assert len(page["value"]) <= 2
        seen += [entry["id"] for entry in page["value"]]
        link = page.get("nextLink")
    assert seen == made[::-1]


@pytest.mark.parametrize(
    "query",
    ["status=done", "since=yesterday", "pageSize=0", "pageSize=1001", "continuationToken=x", "user=me"],
)
async def test_a_malformed_question_is_a_400(api: Api, query: str) -> None:
    """Nobody gets a list that answers another question."""
    assert (await api.get(f"revocations?{query}")).status == 400


async def test_users_come_as_csv_without_formulas(api: Api) -> None:
    """A spreadsheet does not run what somebody named an account."""
    request_id = (await api.submit({"users": ["-x@contoso.com", "+y@contoso.com", "bob@contoso.com"]})).json["id"]
    for path, headers in (("?format=csv", {}), ("", {"Accept": "text/csv"})):
        reply = await api.call("GET", f"revocations/{request_id}/users{path}", headers=api.key | headers)
        assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert [row["input"] for row in rows] == ["'-x@contoso.com", "'+y@contoso.com", "bob@contoso.com"]
        assert [row["errorCode"] for row in rows] == ["userNotFound", "userNotFound", ""]
    page = (await api.get(f"revocations/{request_id}/users?status=failed&pageSize=1")).json
    assert len(page["value"]) == 1
    assert page["nextLink"].startswith(f"{api.root}/revocations/{request_id}/users?")


@pytest.mark.parametrize("request_id", ["x", "..", "0" * 45, "fe5df26e7595-" + "0" * 32])
async def test_an_unknown_request_is_404(api: Api, request_id: str) -> None:
    """Guessing ids leads nowhere."""
    assert (await api.get(f"revocations/{request_id}")).status == 404
