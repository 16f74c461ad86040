"""The stable error codes of users and requests, each with a sentence and a hint a person can act on.

They map what Microsoft's own error texts leave open: "Insufficient privileges to complete the operation" is either
``appPermissionMissing`` or ``targetPrivileged``; "Invalid user ID or UPN" is ``invalidUser``; "Resource not found" is
``userNotFound``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from revoke_core.domain.entity_names import EntityNameKind
from revoke_core.domain.redaction import redacted, short

if TYPE_CHECKING:
    from revoke_core.domain.entity_names import EntityName

_LONGEST_QUOTE: Final = 500
# The properties in which a name is searched for.
_SEARCHED: Final = {
    EntityNameKind.SID: "onPremisesSecurityIdentifier or securityIdentifier",
    EntityNameKind.MAIL: "mail or proxyAddresses",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a user or request was not revoked: a stable code, a sentence, and what a person can do about it.

    ``graph_code`` is what Graph itself calls it, where that says more; it makes no other problem of it.
    """

    code: str
    message: str
    hint: str = ""
    faults: tuple[dict[str, str], ...] = ()
    graph_code: str | None = field(default=None, compare=False)


USER_NOT_FOUND: Final = Problem(
    "userNotFound",
    "Microsoft Graph knows no such user in this tenant.",
    "Check the spelling, that the account is in this tenant, and that it has not been deleted. A mail address is not "
    "always the user principal name: look the user up in Entra, and use its object id, which also outlives a new name.",
)
INVALID_USER: Final = Problem(
    "invalidUser",
    "Microsoft Graph refuses this user id or user principal name.",
    "Look the user up in Entra and use its object id. Only user accounts have sessions that can be revoked: "
    "applications and service principals do not.",
)
TARGET_PRIVILEGED: Final = Problem(
    "targetPrivileged",
    "Microsoft Graph refuses to let the app revoke this user, though it may revoke others: the account holds an "
    "administrator role, or is in a restricted management administrative unit, where application permissions do not "
    "count.",
    "See the account's roles and administrative units in Entra, and let a person revoke it there: for limited "
    "administrators a User Administrator, for privileged ones a Privileged Authentication Administrator, in a "
    "restricted unit an administrator of that unit.",
)
EXTERNAL_USER: Final = Problem(
    "externalUser",
    "The account signs in to another tenant, which keeps its sessions; revoking here has no effect.",
    "Ask the user's home tenant to revoke, or block the guest here by disabling or removing the account.",
)
PROTECTED: Final = Problem(
    "protected",
    "The user is on the protected list and is never revoked by this app.",
    "Revoke the user by hand if it is meant, or have an operator change PROTECTED_USERS or PROTECTED_GROUP.",
)
DUPLICATE: Final = Problem(
    "duplicate",
    "The request names this user by another name as well, which was found out late; the user's other row says what "
    "became of it.",
    "Nothing to do.",
)
EXCLUDED: Final = Problem("excluded", "The request itself excludes this user.", "Nothing to do.")
THROTTLED: Final = Problem(
    "throttled",
    "Microsoft Graph asked the app to slow down.",
    "Nothing to do: the app waits as long as Graph asks and tries again.",
)
GRAPH_UNAVAILABLE: Final = Problem(
    "graphUnavailable",
    "Microsoft Graph does not answer or answers with a server error.",
    "Nothing to do at first: the app tries again. If it lasts, see https://status.cloud.microsoft.",
)
NO_TOKEN: Final = Problem(
    "noToken",
    "The app's managed identity gets no token that Microsoft Graph accepts.",
    "Check that the identity is assigned to the app and that AZURE_CLIENT_ID names it; GET /api/readiness says more.",
)
PROTECTED_UNREADABLE: Final = Problem(
    "protectedListUnreadable",
    "The protected list cannot be read, and without it no user is revoked.",
    "Check PROTECTED_USERS and PROTECTED_GROUP, and that the app may read the group (GroupMember.Read.All).",
)
UNVERIFIED: Final = Problem(
    "unverified",
    "Graph accepted the call, but nothing proves it: the user's sign-in cut-off had not moved ten minutes later, or "
    "Graph did not know the user any more.",
    "Check the user in Entra (Sign-in logs, Audit logs: Update StsRefreshTokenValidFrom Timestamp) and revoke again.",
)
OUTCOME_UNKNOWN: Final = Problem(
    "outcomeUnknown",
    "The call was sent twice without an answer, and the app may not read whether it took effect.",
    "Check the audit log (Update StsRefreshTokenValidFrom Timestamp), or grant User.Read.All so the app can settle it.",
)
EXPIRED: Final = Problem(
    "expired",
    "The request was not carried out within 24 hours, and nothing that old is revoked.",
    "Send a new request if the sessions still have to end.",
)
PAUSED: Final = Problem(
    "paused",
    "Revoking is paused (REVOKING_PAUSED).",
    "The request goes on when an operator turns the pause off.",
)
NO_USERS_MATCHED: Final = Problem(
    "noUsersMatched",
    "The request comes down to no user at all.",
    "Check users, groups, filter and exclude; a group whose membership is hidden shows no members without "
    "Member.Read.Hidden.",
)
INPUTS_LOST: Final = Problem(
    "inputsLost",
    "What this request asks for is missing from storage, or damaged; no further user is revoked.",
    "Send the request again; the users listed here are those that were known before. Then find out who removed or "
    "restored rows of the tables in the storage account.",
)
CANCELLED: Final = Problem(
    "cancelled",
    "The request was cancelled before this user was sent to Microsoft Graph.",
    "Nothing to do; send a new request if the sessions have to end after all.",
)
GRAPH_REFUSED: Final = Problem(
    "graphRefused",
    "Microsoft Graph refuses the call for this user.",
    "Note the Graph request id and ask Microsoft support, or revoke the user in the Entra admin center.",
)


def group_not_found(group_id: str) -> Problem:
    """A group that Graph does not know; no user of the whole request is revoked then."""
    return Problem(
        "groupNotFound",
        f"Microsoft Graph knows no group {group_id} in this tenant; no user was revoked.",
        "Check the object id of the group on its page in Entra, and that the group has not been deleted.",
    )


def invalid_filter(message: str) -> Problem:
    """A filter that Graph refuses, with Graph's own message."""
    quoted = short(redacted(message).strip(), _LONGEST_QUOTE)
    return Problem(
        "invalidFilter",
        "Microsoft Graph refuses the filter; no user was revoked." + (f" It says: {quoted}" if quoted else ""),
        "Correct the OData filter; try it first with GET /v1.0/users?$filter=… in Graph Explorer "
        "(https://learn.microsoft.com/graph/filter-query-parameter).",
    )


def list_refused(what: str, status: int) -> Problem:
    """A refusal to list ``what`` for which there is no other code."""
    return Problem(
        "graphRefused",
        f"Microsoft Graph refuses to list {what} (status {status}); no user was revoked.",
        "Try the same list in Graph Explorer, or name the users in users.",
    )


def unresolved_entity(entity: EntityName, *, holders: int = 0, refused: str | None = None) -> Problem:
    """A user whom a payload names in a way that does not come down to exactly one user of the tenant.

    ``holders`` is how many users have the SID or mail address, ``refused`` Graph's code where it takes no such filter.
    """
    if entity.kind is EntityNameKind.UNRESOLVED:
        said = short(redacted(entity.lacks).strip().rstrip("."), _LONGEST_QUOTE) or "it has no name of a user"
        found = f"The payload's entity names no user: {said}"
    elif not entity.is_searchable:
        found = f"What the payload gives as {short(entity.description, _LONGEST_QUOTE)} is none"
    elif holders:
        found = f"{holders} users in this tenant have {entity.description} ({_SEARCHED[entity.kind]})"
    else:
        found = f"No user in this tenant has {entity.description} ({_SEARCHED[entity.kind]})"
        found += f"; Microsoft Graph refused part of the search ({refused})" if refused else ""
    return Problem(
        "unresolvedEntity",
        f"{found}; nothing was sent for it.",
        "Find the account in Entra, and revoke it by its object id or user principal name. An account that is not "
        "synchronised to this tenant has no sessions here.",
    )


def too_many_users(most: int) -> Problem:
    """Groups or a filter come down to more users than one request may have."""
    return Problem(
        "tooManyUsers",
        f"The request comes down to more than {most} users; no user was revoked.",
        "Narrow the groups or the filter, or have an operator raise MAX_USERS.",
    )


def invalid_message(faults: list[dict[str, str]]) -> Problem:
    """A queue message that cannot be carried out; ``faults`` as in a 400."""
    return Problem(
        "invalidMessage",
        "The queue message is not a valid request; no user was revoked.",
        "Correct what errors names and send the message again; the README shows the accepted forms.",
        tuple(faults),
    )


IDEMPOTENCY_CONFLICT: Final = Problem(
    "idempotencyConflict",
    "The message's idempotency key belongs to an earlier request with another body; no user was revoked.",
    "Use a new idempotencyKey for a new request.",
)
NOT_PROCESSED: Final = Problem(
    "notProcessed",
    "The message could not be carried out for 24 hours, and nothing that old is revoked.",
    "See the app's log for the cause, then send the message again if the sessions still have to end.",
)

# Those above, and those that functions here and in ``permission_problems`` make.
STABLE_CODES: Final = frozenset(
    {value.code for value in tuple(globals().values()) if isinstance(value, Problem)}
    | {"appPermissionMissing", "groupNotFound", "invalidFilter", "invalidMessage", "tooManyUsers", "unresolvedEntity"}
)
