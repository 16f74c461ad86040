"""One user by HTTP call or queue message: read, revoke, read back with the Graph SDK; two writes to one table.

It keeps no promise that the app keeps: no lease, no proof of the effect, no retry beyond the SDK's own.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import azure.functions as func
from azure.data.tables.aio import TableClient

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
TABLE = "PlainRevocations"
QUEUE = "plain-requests"
STORAGE = "AzureWebJobsStorage"


@lru_cache(maxsize=1)
def graph() -> Any:
    """The SDK's client with the app's managed identity and the SDK's own defaults."""
    from azure.identity.aio import ManagedIdentityCredential  # noqa: PLC0415 -- slow to import
    from kiota_authentication_azure.azure_identity_authentication_provider import (  # noqa: PLC0415 -- as above
        AzureIdentityAuthenticationProvider,
    )
    from msgraph.graph_request_adapter import GraphRequestAdapter  # noqa: PLC0415 -- as above
    from msgraph.graph_service_client import GraphServiceClient  # noqa: PLC0415 -- as above

    endpoint = os.environ.get("GRAPH_ENDPOINT", "https://graph.microsoft.com")
    authentication = AzureIdentityAuthenticationProvider(
        ManagedIdentityCredential(),
        scopes=["https://graph.microsoft.com/.default"],
        allowed_hosts=[urlsplit(endpoint).hostname or ""],
    )
    adapter = GraphRequestAdapter(authentication)
    adapter.base_url = f"{endpoint}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


@lru_cache(maxsize=1)
def log() -> TableClient:
    """The status log."""
    return TableClient.from_connection_string(os.environ[STORAGE], TABLE)


async def revoke(user: str) -> dict[str, Any]:
    """End one user's sessions and write down that it was done."""
    entity = {"PartitionKey": "requests", "RowKey": str(uuid.uuid4()), "User": user, "Status": "accepted"}
    await log().create_entity(entity)
    before = await graph().users.by_user_id(user).get(_cut_off())
    await graph().users.by_user_id(user).revoke_sign_in_sessions.post()
    after = await graph().users.by_user_id(user).get(_cut_off())
    moved = after.sign_in_sessions_valid_from_date_time != before.sign_in_sessions_valid_from_date_time
    entity |= {"Status": "verified" if moved else "revoked", "CompletedAt": datetime.now(UTC).isoformat()}
    await log().update_entity(entity)
    return entity


def _cut_off() -> Any:
    from kiota_abstractions.base_request_configuration import RequestConfiguration  # noqa: PLC0415 -- slow to import
    from msgraph.generated.users.item.user_item_request_builder import (  # noqa: PLC0415 -- as above
        UserItemRequestBuilder,
    )

    select = ["id", "userPrincipalName", "signInSessionsValidFromDateTime"]
    parameters = UserItemRequestBuilder.UserItemRequestBuilderGetQueryParameters(select=select)
    return RequestConfiguration(query_parameters=parameters)


@app.route("revocations", methods=["POST"])
async def submit(req: func.HttpRequest) -> func.HttpResponse:
    """One user by HTTP."""
    return func.HttpResponse(json.dumps(await revoke(req.get_json()["user"])), mimetype="application/json")


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the host passes the call by this name
    """Liveness."""
    return func.HttpResponse('{"status":"ok"}', mimetype="application/json")


@app.queue_trigger("msg", queue_name=QUEUE, connection=STORAGE)
async def on_message(msg: func.QueueMessage) -> None:
    """One user by queue message."""
    await revoke(msg.get_body().decode())
