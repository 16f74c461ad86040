"""Paths under ``/v1.0``: the only place where a user's name becomes part of a URL.

UPN quirks: https://learn.microsoft.com/graph/api/user-get (``$`` needs the key form, ``#`` is encoded).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from revoke_core.domain.identifiers import UserRef

USER_FIELDS: Final = (
    "id,userPrincipalName,userType,accountEnabled,externalUserState,creationType,signInSessionsValidFromDateTime"
)


def user_path(user: UserRef) -> str:
    """``/users/{id}`` or ``/users/{upn}``; a UPN that starts with ``$`` only works as ``/users('$…')``."""
    if user.text.startswith("$"):
        return "/users('" + quote(user.text.replace("'", "''"), safe="@$'") + "')"
    return f"/users/{quote(user.text, safe='@')}"


def read_path(user: UserRef) -> str:
    """What proof and planning read of a user."""
    return f"{user_path(user)}?$select={USER_FIELDS}"


def revoke_path(user: UserRef) -> str:
    """The action itself, https://learn.microsoft.com/graph/api/user-revokesigninsessions."""
    return f"{user_path(user)}/revokeSignInSessions"


def members_path(group_id: str) -> str:
    """Transitive members without a type cast: works without the eventual-consistency header, types come along."""
    return f"/groups/{quote(group_id, safe='')}/transitiveMembers?$select=id&$top=999"
