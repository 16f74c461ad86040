"""The managed-identity endpoint of App Service and Functions, and the tokens it issues.

The real endpoint keeps a token for about a day: a permission granted in between does not show before the token ends.
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import base64
import json
import secrets
import uuid
from typing import Any

from local.simulator.clock import Clock
from local.simulator.directory import object_id
from local.simulator.exchange import Grant
from local.simulator.settings import Settings

TENANT_ID = object_id("tenant:contoso")
PRINCIPAL_ID = object_id("identity:revoker")
SYSTEM_CLIENT_ID = object_id("identity:revoker:client")
GRAPH_RESOURCES = (
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "00000003-0000-0000-c000-000000000000",
)


class Identity:
    """Issues tokens with the roles granted at that moment, and keeps each until it ends or is forgotten."""

    def __init__(self, *, settings: Settings, clock: Clock, header: str) -> None:
        self._settings = settings
        self._clock = clock
        self.header = header
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}
        self._valid: dict[str, tuple[Grant, float]] = {}
        self.requests = 0

    def answer(self, query: dict[str, str], header: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body for `GET /msi/token`."""
        self.requests += 1
        if header != self.header:
            return 401, {"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."}
        if query.get("api-version") != "2019-08-01":
            return 400, {"statusCode": 400, "message": "Unsupported api-version."}
        resource = query.get("resource", "").rstrip("/")
        if resource not in GRAPH_RESOURCES:
            return 500, {"statusCode": 500, "message": "An unexpected error occurred while fetching the AAD Token."}
        client_id = query.get("client_id") or SYSTEM_CLIENT_ID
        if not _is_guid(client_id):
            return 400, {"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found."}
        token, ends_at = self._token(resource, client_id.lower())
        return 200, {
            "access_token": token,
            "expires_on": str(int(ends_at)),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": client_id,
        }

    def grant(self, token: str) -> Grant | None:
        """What a token allows; `None` for one that is unknown, forgotten or over."""
        found = self._valid.get(token)
        return found[0] if found and found[1] > self._clock.now() else None

    def forget(self) -> None:
        """As with a fresh identity: the old tokens are refused, the next one carries the roles of now."""
        self._kept.clear()
        self._valid.clear()

    def _token(self, resource: str, client_id: str) -> tuple[str, float]:
        now = self._clock.now()
        kept = self._kept.get((resource, client_id))
        if kept and kept[1] > now and self._settings.freeze_tokens:
            return kept
        ends_at = now + self._settings.token_life_seconds
        roles = list(self._settings.granted_roles)
        claims: dict[str, Any] = {
            "aud": resource,
            "appid": client_id,
            "oid": PRINCIPAL_ID,
            "tid": TENANT_ID,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(ends_at),
            "uti": secrets.token_urlsafe(12),
        }
        # Without any role the claim is missing, not empty.
        claims |= {"roles": roles} if roles else {}
        token = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.{secrets.token_urlsafe(16)}"
        grant = Grant(app_id=client_id, object_id=PRINCIPAL_ID, tenant_id=TENANT_ID, roles=frozenset(roles))
        self._kept[resource, client_id] = (token, ends_at)
        self._valid[token] = (grant, ends_at)
        return token, ends_at


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
