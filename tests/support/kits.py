"""Settings of the kits that the tests start, and the comparison at their end."""

import json
from collections import Counter
from contextlib import suppress
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient
from clients import Tenant

# As an operator would protect the emergency account.
PROTECTED = {"PROTECTED_USERS": "breakglass@contoso.com"}
# What the tenant admits and what the app plans with, in tests that are not about the write quota.
UNLIMITED = json.dumps({"quota": {"model": "none"}, "resourceUnitsPer10s": 1_000_000})
UNHURRIED = {"GRAPH_WRITES_PER_150S": "1000000"}


async def compare(address: dict[str, Any], tenant: Tenant) -> None:
    """Assert that the tenant served exactly the revokes that the status log has."""
    served = Counter(entry["userId"] for entry in await tenant.served())
    logged = Counter(row["UserId"] for row in await rows_with_a_revoke(address, tenant))
    assert logged == served, f"only in the tenant: {served - logged}, only in the log: {logged - served}"


async def rows_with_a_revoke(address: dict[str, Any], tenant: Tenant) -> list[dict[str, Any]]:
    """Every user row that claims a revoke; a name that could not be looked up is looked up now."""
    by_name = {user["userPrincipalName"].lower(): user["id"] for user in await tenant.get("users")}
    rows: list[dict[str, Any]] = []
    async with TableServiceClient.from_connection_string(address["connectionString"]) as service:
        found = service.get_table_client("RevocationUsers").query_entities("RevokedAt ge ''")
        with suppress(ResourceNotFoundError):  # the app creates its tables with the first request: there was none
            rows = [dict(row) async for row in found]
    return [row | {"UserId": row.get("UserId") or by_name[row["Input"].lower()]} for row in rows]
