"""Which application permissions open which resource, as Microsoft's permission data lists them."""

from local.tenant.errors import denied
from local.tenant.exchange import Call
from local.tenant.settings import Settings

REVOKE_STRICT = frozenset({"User.RevokeSessions.All"})
REVOKE = REVOKE_STRICT | {"User.ReadWrite.All", "Directory.ReadWrite.All"}
USER_READ = frozenset({"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"})
USER_BASIC = USER_READ | {"User.ReadBasic.All"}
_GROUP_READ = frozenset(
    {
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    }
)
GROUP = _GROUP_READ | {"Group.ReadBasic.All"}
MEMBERS = _GROUP_READ | {"GroupMember.ReadBasic.All"}
HIDDEN_MEMBERS = frozenset({"Member.Read.Hidden"})
AUDIT_LOG = frozenset({"AuditLog.Read.All"})
BASIC_PROPERTIES = frozenset({"id", "displayName", "givenName", "surname", "mail", "userPrincipalName"})

_NEEDED = {"users": USER_BASIC, "user": USER_BASIC, "groups": GROUP, "group": GROUP, "members": MEMBERS}
_NEEDED |= {"transitiveMembers": MEMBERS, "audits": AUDIT_LOG}


def require_permission(call: Call, *, route: str, settings: Settings) -> None:
    """GraphError 403 unless the token carries a permission the resource accepts."""
    roles = call.held_roles()
    if route == "revoke":
        if not roles & (REVOKE_STRICT if settings.strict_revoke_permission else REVOKE):
            raise revoke_denied(settings)
    elif not roles & _NEEDED[route]:
        raise denied()


def revoke_denied(settings: Settings) -> Exception:
    """The 403 of the revoke action: which of two texts means what is not documented, so both can be had."""
    if settings.revoke_denied == "generic":
        return denied()
    return denied("Access to invalidate refresh tokens operation is denied.")
