"""The caller as App Service authentication names it in the header ``X-MS-CLIENT-PRINCIPAL``.

Base64 of ``{"auth_typ", "name_typ", "role_typ", "claims": [{"typ", "val"}]}``; some claims carry the long names of the
default claim mapping (https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities). A
header that is not exactly of this form is refused whole.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from revoke_core.domain.errors import CallerUnknown
from revoke_core.domain.fields import LONGEST_NAME
from revoke_core.domain.identifiers import is_object_id

# All headers of a call together stay below this on App Service; a person in 200 groups needs about two thirds of it.
LONGEST_HEADER: Final = 32_768

_ENTRA: Final = "aad"
_MAPPED: Final = "http://schemas.microsoft.com/identity/claims/"
_XML_SOAP: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_OBJECT_ID: Final = (f"{_MAPPED}objectidentifier", "oid")
_SUBJECT: Final = (f"{_XML_SOAP}nameidentifier", "sub")
_APP_ID: Final = ("appid", "azp")
_ROLES: Final = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")
_SCOPE: Final = (f"{_MAPPED}scope", "scp")
_USER_NAMES: Final = (f"{_XML_SOAP}upn", "upn", "preferred_username")
# The user name, which the tenant gives, before display names, which people can often change themselves.
_NAMES: Final = (*_USER_NAMES, f"{_XML_SOAP}name", "name")
_TOKEN_TYPE: Final = "idtyp"  # noqa: S105 -- the name of a claim

_SIGN_IN: Final = (
    "The caller is unknown. Sign in to Microsoft Entra ID and send a token for this app: "
    "Authorization: Bearer <token>, e.g. from az account get-access-token (docs/access.md)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller known to Entra; ``app_id`` is the client it calls with, ``is_user`` false for an app on its own."""

    object_id: str
    name: str | None = None
    app_id: str | None = None
    roles: frozenset[str] = frozenset()
    is_user: bool = False


def read_principal(header: str | None) -> Principal:
    """The caller a header names; ``CallerUnknown`` for a header that is missing, malformed or of another provider."""
    try:
        return _principal(header or "")
    except (ValueError, RecursionError):
        # Nothing of the header is repeated, here or in the log: it may be anything.
        raise CallerUnknown(_SIGN_IN) from None


def _principal(header: str) -> Principal:
    content = _decoded(header)
    if content.get("auth_typ") != _ENTRA:
        raise ValueError("another identity provider")
    claims = _claims(content.get("claims"))
    object_id = _only(claims, _OBJECT_ID)
    if object_id is None:
        raise ValueError("no object id")
    role_types = {*_ROLES, *_type_name(content, "role_typ")}
    name_types = (*_NAMES, *_type_name(content, "name_typ"))
    return Principal(
        object_id=object_id,
        name=_name(claims, name_types),
        app_id=_only(claims, _APP_ID),
        roles=frozenset(value for kind, value in claims if kind in role_types),
        is_user=_is_user(claims, object_id),
    )


def _decoded(header: str) -> dict[str, Any]:
    """The JSON object behind the header. A header sent twice reaches the app joined by a comma, which is no base64."""
    if not header or len(header) > LONGEST_HEADER:
        raise ValueError("missing or oversized")
    text = base64.b64decode(header, validate=True).decode("utf-8")
    content = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004 -- every fault of the header is the one kind of error
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a doubled member")
    return members


def _claims(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, list):
        raise ValueError("no claims")  # noqa: TRY004 -- as above
    return [_claim(item) for item in value]


def _claim(item: Any) -> tuple[str, str]:
    kind, value = (item.get("typ"), item.get("val")) if isinstance(item, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(value, str):
        raise ValueError("not a claim")  # noqa: TRY004 -- as above
    return kind, value


def _type_name(content: dict[str, Any], name: str) -> tuple[str, ...]:
    """The claim type that the provider calls by this role, if it names one."""
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError("not a claim type")
    return (value,) if value else ()


def _only(claims: list[tuple[str, str]], types: tuple[str, ...]) -> str | None:
    """The one GUID under these types, in lower case; two that differ would make two callers of one."""
    found = {value.lower() for kind, value in claims if kind in types}
    if len(found) > 1 or not all(map(is_object_id, found)):
        raise ValueError("not one id")
    return found.pop() if found else None


def _name(claims: list[tuple[str, str]], types: tuple[str, ...]) -> str | None:
    """The first name there is, fit for a log line and a table cell."""
    for wanted in types:
        for kind, value in claims:
            name = "".join(character for character in value if character.isprintable()).strip()[:LONGEST_NAME]
            if kind == wanted and name:
                return name
    return None


def _is_user(claims: list[tuple[str, str]], object_id: str) -> bool:
    """Whether a person stands behind the token.

    ``idtyp`` is ``app`` in app-only tokens, but an optional claim; without it, an app's token has its object id as
    subject, and neither a scope nor a user name
    (https://learn.microsoft.com/entra/identity-platform/optional-claims-reference,
    https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
    """
    token_types = {value.lower() for kind, value in claims if kind == _TOKEN_TYPE}
    subjects = {value.lower() for kind, value in claims if kind in _SUBJECT}
    if token_types - {"user"} or object_id in subjects:
        return False
    return any(kind in (*_SCOPE, *_USER_NAMES) and value for kind, value in claims)
