"""Callers as App Service authentication would name them: ``X-MS-CLIENT-PRINCIPAL`` headers."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

HEADER = "X-MS-CLIENT-PRINCIPAL"
MAPPED = "http://schemas.microsoft.com/identity/claims/"
NAME = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
SUBJECT = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"
ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

SUBMIT, READ, CONFIRM = "Revocations.Submit", "Revocations.Read", "Revocations.Confirm"


def claim(kind: str, value: Any) -> dict[str, Any]:
    return {"typ": kind, "val": value}


def person_claims(object_id: str, *roles: str, name: str = "adele@contoso.com") -> list[dict[str, Any]]:
    """Claims of a person's token for this app, as the default claim mapping names them."""
    return [
        claim(f"{MAPPED}objectidentifier", object_id),
        claim(SUBJECT, "pairwise-subject-of-this-person"),
        claim(NAME, name),
        claim(f"{MAPPED}scope", "user_impersonation"),
        claim("appid", CLIENT),
        *(claim("roles", role) for role in roles),
    ]


def app_claims(object_id: str, *roles: str) -> list[dict[str, Any]]:
    """Claims of a managed identity's token: no name, no scope, its object id as subject."""
    return [
        claim(f"{MAPPED}objectidentifier", object_id),
        claim(SUBJECT, object_id),
        claim("appid", CLIENT),
        *(claim("roles", role) for role in roles),
    ]


def content(claims: list[dict[str, Any]], /, **members: Any) -> dict[str, Any]:
    return {"auth_typ": "aad", "name_typ": NAME, "role_typ": "roles", "claims": claims} | members


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def signed_in(*roles: str, object_id: str | None = None, name: str = "adele@contoso.com") -> dict[str, str]:
    """The header of a person, another one each time unless an object id is given."""
    return {HEADER: encoded(content(person_claims(object_id or str(uuid.uuid4()), *roles, name=name)))}


def application(*roles: str) -> dict[str, str]:
    """The header of an application on its own."""
    return {HEADER: encoded(content(app_claims(str(uuid.uuid4()), *roles)))}
