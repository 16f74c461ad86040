"""Problems for a missing Microsoft Graph permission: what it is for, and the command that grants it.

All of it is ``appPermissionMissing``; the texts follow from the token that was refused, never from Graph's message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.permissions import (
    APP_ROLE_IDS,
    DEFAULT_GRANT,
    EXACT_REVOKE,
    READ_GROUPS,
    READ_LOGS,
    READ_USERS,
    grant_command,
)
from revoke_core.domain.problems import Problem
from revoke_core.domain.timestamps import written

if TYPE_CHECKING:
    from revoke_core.domain.entity_names import EntityName
    from revoke_core.domain.permissions import TokenFacts


def app_permission_missing(token: TokenFacts) -> Problem:
    """The app lacks the permission, as far as its token tells; the hint has the command that grants it."""
    return Problem(
        "appPermissionMissing",
        f"The app's identity lacks a Microsoft Graph permission to revoke sessions: {DEFAULT_GRANT}, or the narrower "
        f"{EXACT_REVOKE}.",
        _granting(DEFAULT_GRANT, token),
    )


def group_not_readable(group_id: str, token: TokenFacts) -> Problem:
    """A 403 for a group's members."""
    return _not_readable(f"read the members of group {group_id}", "GroupMember.Read.All", READ_GROUPS, token)


def exclusion_unclear(token: TokenFacts) -> Problem:
    """A user who may be one of those whom the request excludes, for ids and UPNs can't be compared."""
    return Problem(
        "appPermissionMissing",
        "The app may not read users (User.Read.All is missing), so it cannot tell whether this is one of those whom "
        "the request excludes; nothing was sent.",
        "Exclude users in the form in which they are named: the members of a group by object id. "
        f"Or let the app compare the two. {_granting('User.Read.All', token)}",
    )


def entity_not_searchable(entity: EntityName, token: TokenFacts) -> Problem:
    """A user named by a SID or a mail address, where the app may not search users."""
    return Problem(
        "appPermissionMissing",
        f"The app may not read users (User.Read.All is missing), so it cannot tell who has {entity.description}; "
        "nothing was sent for it.",
        f"Name the user by object id or user principal name meanwhile. {_granting('User.Read.All', token)}",
    )


def users_not_readable(token: TokenFacts) -> Problem:
    """A 403 for the users that a filter matches."""
    return _not_readable("look for the users that filter matches", "User.Read.All", READ_USERS, token)


def refused_under_broad_permission(token: TokenFacts) -> Problem:
    """A 403 that may mean either thing: this token has revoked no user yet, so both explanations are given."""
    missing = app_permission_missing(token)
    return Problem(
        missing.code,
        f"Microsoft Graph refuses the call although the app carries a broader permission than {EXACT_REVOKE}.",
        f"Either this tenant accepts only {EXACT_REVOKE}: grant it as below with the app role id "
        f"{APP_ROLE_IDS[EXACT_REVOKE]}. Or the account holds an administrator role, or is in a restricted management "
        f"administrative unit, where application permissions do not count: revoke another user to tell. {missing.hint}",
    )


def evidence_not_readable(token: TokenFacts) -> str:
    """What a request warns of when a 403 keeps the audit and the sign-in log from being read."""
    if token.roles is not None and READ_LOGS in token.roles:
        return (
            f"Evidence is missing: Microsoft Graph refuses to show its logs although the app carries {READ_LOGS}. "
            "Microsoft's pages name Directory.Read.All beside it: grant that, too, or set EVIDENCE to false."
        )
    return (
        f"Evidence is missing: the app's identity lacks the Microsoft Graph permission {READ_LOGS}. The revocations "
        f"are not affected. {_granting(READ_LOGS, token)} Or set EVIDENCE to false."
    )


def _granting(permission: str, token: TokenFacts) -> str:
    lifetime = ""
    if token.issued_at and token.expires_at:
        lifetime = (
            f" The token in use was issued {written(token.issued_at)} and lives until {written(token.expires_at)}; "
            "a newly granted permission may take that long to show (a new identity shows it at once)."
        )
    command = grant_command([permission], token.principal_id)
    return f"Have a Privileged Role Administrator run: {command}{lifetime}"


def _not_readable(purpose: str, permission: str, accepted: frozenset[str], token: TokenFacts) -> Problem:
    granting = _granting(permission, token)
    if token.roles is not None and token.may(accepted):
        return Problem(
            "appPermissionMissing",
            f"Microsoft Graph refuses to let the app {purpose}, although its token carries a permission for it; "
            "no user was revoked.",
            f"Something in this tenant asks for more than {permission}, or the permission was just taken away. "
            f"Name the users in users meanwhile. {granting}",
        )
    return Problem(
        "appPermissionMissing",
        f"The app's identity lacks the Microsoft Graph permission {permission}, without which it may not {purpose}; "
        "no user was revoked.",
        granting,
    )
