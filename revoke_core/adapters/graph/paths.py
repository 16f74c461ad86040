"""Paths under ``/v1.0``: the only place where a caller's text becomes part of a URL.

UPN quirks: https://learn.microsoft.com/graph/api/user-get (``$`` needs the key form, ``#`` is encoded).
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from revoke_core.domain.evidence import CUT_OFF_MOVED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef

USER_FIELDS: Final = (
    "id,userPrincipalName,userType,accountEnabled,externalUserState,creationType,identities,"
    "signInSessionsValidFromDateTime"
)

# https://learn.microsoft.com/graph/api/user-list
LARGEST_PAGE: Final = 999
_SECOND: Final = timedelta(seconds=1)


def user_path(user: UserRef) -> str:
    """``/users/{id}`` or ``/users/{upn}``; a UPN that starts with ``$`` only works as ``/users('$…')``.

    ``ValueError`` for a user who has yet to be searched for.
    """
    if user.entity:
        raise ValueError("a user who is named by neither object id nor UPN has no path")
    if user.text.startswith("$"):
        return "/users('" + quote(user.text.replace("'", "''"), safe="@$'") + "')"
    return f"/users/{quote(user.text, safe='@')}"


def read_path(user: UserRef) -> str:
    """What verification and planning read of a user."""
    return f"{user_path(user)}?$select={USER_FIELDS}"


def revoke_path(user: UserRef) -> str:
    """The action itself, https://learn.microsoft.com/graph/api/user-revokesigninsessions."""
    return f"{user_path(user)}/revokeSignInSessions"


def members_path(group_id: str, *, transitive: bool = True) -> str:
    """Members without a type cast: works without the eventual-consistency header, types come along.

    ``visibility`` tells groups among them that hide their own members.
    """
    listed = "transitiveMembers" if transitive else "members"
    return f"/groups/{quote(group_id, safe='')}/{listed}?$select=id,userPrincipalName,visibility&$top={LARGEST_PAGE}"


def search_path(text: str, *, advanced: bool = False) -> str:
    """``/users`` with an OData filter, showing of each user what planning reads."""
    shown = f"$select={USER_FIELDS}&$top={LARGEST_PAGE}" + ("&$count=true" if advanced else "")
    return f"/users?$filter={quote(text, safe='')}&{shown}"


def matching_path(text: str, *, advanced: bool = False, probe: bool = False) -> str:
    """``/users`` with an OData filter. Advanced operators need ``$count`` beside a header.

    https://learn.microsoft.com/graph/aad-advanced-queries
    """
    shown = "$select=id&$top=1" if probe else f"$select=id,userPrincipalName&$top={LARGEST_PAGE}"
    return f"/users?$filter={quote(text, safe='')}&{shown}" + ("&$count=true" if advanced else "")


def cut_off_audits_path(since: datetime, until: datetime) -> str:
    """Audit entries of one activity within a span of time: only filters that Microsoft's page lists.

    https://learn.microsoft.com/graph/api/resources/directoryaudit
    """
    text = (
        f"activityDateTime ge {_whole_second(since)} and activityDateTime le {_whole_second(until + _SECOND)} "
        f"and startswith(activityDisplayName,'{CUT_OFF_MOVED}')"
    )
    return f"/auditLogs/directoryAudits?$filter={quote(text, safe='')}"


def sign_ins_path(users: Sequence[UserRef], since: datetime) -> str:
    """Sign-ins of some users; ``userId`` and ``userPrincipalName`` are listed, asking for several with ``or`` is not.

    https://learn.microsoft.com/graph/api/signin-list
    """
    clauses = [_whose(user) for user in users]
    whose = clauses[0] if len(clauses) == 1 else f"({' or '.join(clauses)})"
    return f"/auditLogs/signIns?$filter={quote(f'createdDateTime ge {_whole_second(since)} and {whose}', safe='')}"


def _whose(user: UserRef) -> str:
    name = "userId" if user.is_id else "userPrincipalName"
    return f"{name} eq '{user.text.replace("'", "''")}'"


def _whole_second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
