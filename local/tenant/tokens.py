"""Bearer tokens: issued by the identity endpoint, kept for their whole life, checked on every Graph call."""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any

from local.tenant.clock import Clock
from local.tenant.directory import object_id
from local.tenant.errors import unauthorized
from local.tenant.exchange import Grant
from local.tenant.settings import USER_ASSIGNED_CLIENT_ID, Settings

TENANT_ID = object_id("tenant:contoso")
SYSTEM_CLIENT_ID = object_id("identity:system-assigned")
GRAPH_RESOURCES = frozenset(
    {
        "https://graph.microsoft.com",
        "https://graph.microsoft.us",
        "https://dod-graph.microsoft.us",
        "https://microsoftgraph.chinacloudapi.cn",
        "00000003-0000-0000-c000-000000000000",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An issued token: its text, its life in Unix seconds, and what it grants."""

    text: str
    resource: str
    client_id: str
    not_before: int
    expires: int
    grant: Grant


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


class TokenService:
    """Issues one token per resource and identity and hands out the same one until it expires.

    The platform caches managed-identity tokens for about 24 hours and lets nobody force a refresh, so permissions
    granted later do not show before: `roles` are frozen in the token.
    """

    def __init__(self, *, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._cached: dict[tuple[str, str], Token] = {}
        self._issued: dict[str, Token] = {}

    def token(self, *, resource: str, client_id: str) -> Token:
        """The token for a resource, the frozen one if there is one alive."""
        cached = self._cached.get((resource, client_id))
        if cached and self._settings.freeze_tokens and cached.expires > self._clock.now():
            return cached
        issued = self._issue(resource, client_id)
        self._cached[resource, client_id] = issued
        self._issued[issued.text] = issued
        return issued

    def forget(self, *, invalidate: bool = False) -> None:
        """Begin with a fresh identity; with `invalidate`, tokens already issued are refused too."""
        self._cached.clear()
        if invalidate:
            self._issued.clear()

    def grant(self, authorization: str | None) -> Grant:
        """What an `Authorization` header grants; GraphError 401 for none, an unknown or an expired token."""
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise unauthorized("Access token is empty.")
        token = self._issued.get(text.strip())
        if token is None:
            raise unauthorized("CompactToken validation failed with reason code: 80049228.")
        if token.expires <= self._clock.now():
            raise unauthorized("Lifetime validation failed, the token is expired.")
        return token.grant

    def _issue(self, resource: str, client_id: str) -> Token:
        now = int(self._clock.now())
        expires = self._clock.now() + self._settings.token_life_seconds
        roles = list(self._settings.granted_roles)
        app_id = client_id or SYSTEM_CLIENT_ID
        grant = Grant(
            app_id=app_id, object_id=object_id(f"principal:{app_id}"), tenant_id=TENANT_ID, roles=frozenset(roles)
        )
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "iat": now,
            "nbf": now,
            "exp": int(expires),
            "appid": app_id,
            "idtyp": "app",
            "oid": grant.object_id,
            "sub": grant.object_id,
            "tid": TENANT_ID,
            "ver": "1.0",
        }
        if roles:
            claims["roles"] = roles
        header = {"typ": "JWT", "alg": "RS256", "kid": "simulator"}
        # The signature is random: the simulator knows its tokens by heart and nobody else may accept them.
        text = f"{_part(header)}.{_part(claims)}.{secrets.token_urlsafe(32)}"
        return Token(
            text=text, resource=resource, client_id=app_id, not_before=now, expires=int(expires), grant=grant
        )


__all__ = ["GRAPH_RESOURCES", "SYSTEM_CLIENT_ID", "TENANT_ID", "USER_ASSIGNED_CLIENT_ID", "Token", "TokenService"]
