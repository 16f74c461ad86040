"""Microsoft Graph application permissions: what each lets the app do, and how an admin grants one.

Accepted for revoking are the permission that Microsoft's API page lists for applications (``User.RevokeSessions.All``)
and the two broader ones of Microsoft's permission data. App role ids: the ``appRoles`` of the Microsoft Graph service
principal, https://learn.microsoft.com/graph/permissions-reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

GRAPH_APP_ID: Final = "00000003-0000-0000-c000-000000000000"

EXACT_REVOKE: Final = "User.RevokeSessions.All"
DEFAULT_GRANT: Final = "User.ReadWrite.All"
REVOKE: Final = frozenset({EXACT_REVOKE, DEFAULT_GRANT, "Directory.ReadWrite.All"})
READ_USERS: Final = frozenset({"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"})
READ_GROUPS: Final = frozenset(
    {
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    }
)
READ_HIDDEN: Final = "Member.Read.Hidden"
READ_LOGS: Final = "AuditLog.Read.All"
APP_ROLE_IDS: Final = {
    EXACT_REVOKE: "77f3a031-c388-4f99-b373-dc68676a979e",
    DEFAULT_GRANT: "741f803b-c850-494e-b5df-cde7c675a1ca",
    "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
    "GroupMember.Read.All": "98830695-27a2-44f7-8c18-0c3ebc9698f6",
    READ_LOGS: "b0afded3-3588-46d8-8b3d-9842eff778da",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What the app reads from its own access token, without checking the signature (Graph does that).

    ``roles`` is ``None`` when the token could not be read; an empty set means it carries no permission at all.
    ``fingerprint`` names the token without revealing it.
    """

    fingerprint: str
    roles: frozenset[str] | None
    principal_id: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    def may(self, accepted: frozenset[str]) -> bool:
        """Whether the token carries one of the permissions; an unreadable token is given the benefit of the doubt."""
        return self.roles is None or bool(self.roles & accepted)

    @property
    def is_broad_only(self) -> bool:
        """Whether only a broader permission than the exact one lets it revoke."""
        return self.roles is None or (EXACT_REVOKE not in self.roles and bool(self.roles & REVOKE))


def missing(token: TokenFacts, *, needs_groups: bool, needs_logs: bool = False) -> list[str]:
    """Permissions the app should have and the token does not carry, the one to grant for each purpose."""
    wanted: list[str] = []
    if not token.may(REVOKE):
        wanted.append(DEFAULT_GRANT)
    if not token.may(READ_USERS) and DEFAULT_GRANT not in wanted:
        wanted.append("User.Read.All")
    if needs_groups and not token.may(READ_GROUPS):
        wanted.append("GroupMember.Read.All")
    if needs_logs and not token.may(frozenset({READ_LOGS})):
        wanted.append(READ_LOGS)
    return wanted


def grant_command(permissions: list[str], principal_id: str | None) -> str | None:
    """Azure CLI lines that grant the permissions to the app's managed identity, or ``None`` when there are none.

    The person who runs them needs the Entra role Privileged Role Administrator.
    """
    if not permissions:
        return None
    principal = principal_id or "<object id of the app's managed identity>"
    graph = f"$(az ad sp show --id {GRAPH_APP_ID} --query id --output tsv)"
    return "\n".join(
        "az rest --method POST --url "
        f'"https://graph.microsoft.com/v1.0/servicePrincipals/{principal}/appRoleAssignments" '
        f'--body "{{\\"principalId\\":\\"{principal}\\",\\"resourceId\\":\\"{graph}\\",'
        f'\\"appRoleId\\":\\"{APP_ROLE_IDS[permission]}\\"}}"'
        for permission in permissions
    )
