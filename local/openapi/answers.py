"""What the app answers with, member by member. Tests hold these tables against what the app writes."""

from __future__ import annotations

from typing import Final

from local.openapi.schemas import Schema, array, choice, flag, link, members, moment, number, ref, text
from revoke_core.domain.callback import CallbackStatus
from revoke_core.domain.errors import Refused
from revoke_core.domain.identifiers import REQUEST_ID_FORM
from revoke_core.domain.problems import STABLE_CODES
from revoke_core.domain.request_record import CALLER_KINDS, RequestStatus
from revoke_core.domain.user_state import UserStatus

REQUEST_ID: Final = "fe5df26e7595-0123456789abcdef0123456789abcdef"
_BASE: Final = "https://contoso-revoker.azurewebsites.net/api"
_REQUEST: Final = f"{_BASE}/revocations/{REQUEST_ID}"
_NEXT: Final = "?continuationToken=eyJwIjoxfQ"
_OBJECT_ID: Final = "8f5d7f3e-0000-4000-8000-000000000001"
PROBLEM_TYPES: Final = "urn:entra-session-revoker:problem:"
# Another code may be added: a generated client must not break then.
_OPEN: Final = {"name": "ErrorCode", "modelAsString": True}


def problem_kinds() -> list[str]:
    """The last part of every problem's ``type``."""
    found, tree = {"invalid-request", "internal-error"}, [Refused]
    while tree:
        kind = tree.pop()
        tree += kind.__subclasses__()
        found |= set() if kind is Refused else {kind.kind}
    return sorted(found)


ANSWERS: Final[dict[str, Schema]] = {
    "Revocation": members(
        "One request and what has become of it. A status of 200 is no success by itself: look at the member status.",
        {
            "id": text("The request's id; later requests sort first.", REQUEST_ID, pattern=f"^{REQUEST_ID_FORM}$"),
            "status": choice(
                "Where the request stands. It has ended as succeeded, partiallySucceeded, failed, cancelled or "
                "planned; held waits for a person to confirm it.",
                RequestStatus,
                "succeeded",
            ),
            "source": choice("The door that the request came through.", ("http", "queue"), "http"),
            "requestedBy": ref("RequestedBy"),
            "correlation": ref("Correlation"),
            "requestedAt": moment("When the request was accepted."),
            "completedAt": moment("When the request ended.", "2026-09-10T14:32:28.102Z", nullable=True),
            "reason": text("The reason that was given.", "INC-1042 stolen token", nullable=True),
            "dryRun": flag("Whether only to say who would be revoked.", False),
            "warnings": array(
                "What a person should know: why revoked is not proven, what is waited for, entries that match nobody.",
                text("One sentence.", "The app may not read users, so revoked is not proven."),
                example=[],
            ),
            "counts": ref("Counts"),
            "links": ref("Links"),
            "users": array("The first 100 users; usersNextLink leads to the others.", ref("User")),
            "usersNextLink": link("The next page of users, where there are more than 100.", f"{_REQUEST}/users{_NEXT}"),
            "estimatedCompletionAt": moment("When all users are likely to have been sent."),
            "retryOf": text("The request whose failed users this one tries again.", REQUEST_ID),
            "error": ref("Error"),
            "callback": ref("Callback"),
            "messageText": text("The text of a queue message that is no valid request, cut and redacted.", "adele"),
        },
        sometimes=("users", "usersNextLink", "estimatedCompletionAt", "retryOf", "error", "callback", "messageText"),
    ),
    "Callback": members(
        "How the callback stands that was asked for with callbackUrl.",
        {
            "status": choice("Pending until the receiver took it or a day passed.", CallbackStatus, "delivered"),
            "attempts": number("How often it was posted.", 1),
            "lastStatus": number("The HTTP status of the last answer.", 204, nullable=True),
            "lastError": text(
                "Why there was no answer, or no try: noAnswer, hostNotAllowed or inputsLost.", "noAnswer", nullable=True
            ),
        },
    ),
    "RequestedBy": members(
        "Who asked.",
        {
            "kind": choice("A function key, an Entra identity, a queue message, or a local call.", CALLER_KINDS, "key"),
            "id": text(
                "A key's fingerprint, an object id in Entra, or a message's id.", "5d41402abc4b2a76", nullable=True
            ),
            "name": text("The caller's name, where it is known.", "Adele Vance", nullable=True),
            "appId": text("The client that an Entra caller used.", "8f5d7f3e-0000-4000-8000-0000000000c1"),
            "claim": flag("True where the sender of a message gave the name itself.", True),
        },
        sometimes=("appId", "claim"),
    ),
    "Correlation": members(
        "Ids by which the call is found in the caller's own log.",
        {
            "clientRequestId": text("From the header x-ms-client-request-id.", "c0ffee00-0001", nullable=True),
            "workflowRunId": text("From the header x-ms-workflow-run-id.", "08584", nullable=True),
            "workflowName": text("From the header x-ms-workflow-name.", "leaver-flow", nullable=True),
            "traceparent": text(
                "From the header traceparent.", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", nullable=True
            ),
        },
    ),
    "Counts": members(
        "Numbers of users. All but duplicates sum to total.",
        {
            "total": number("All users of the request as far as they are known.", 1),
            "pending": number("Users to whom nothing has happened yet.", 0),
            "revoked": number("Users whose revocation Graph accepted and nothing has proven.", 0),
            "verified": number("Users whose revocation is proven.", 1),
            "skipped": number("Users who were left out on purpose.", 0),
            "failed": number("Users who were not revoked.", 0),
            "duplicates": number("Names of users who were named before.", 0),
            "planned": number("Users whom a dry run would revoke; only a dry run has this number.", 0),
        },
        sometimes=("planned",),
    ),
    "Links": members(
        "Absolute links; each needs a function key or a token.",
        {
            "self": link("The request itself.", _REQUEST),
            "users": link("All its users.", f"{_REQUEST}/users"),
            "confirm": link("Releases the request while it is held.", f"{_REQUEST}/confirm"),
            "cancel": link("Stops the request while it has not ended.", f"{_REQUEST}/cancel"),
            "retry": link("Tries the users who failed again.", f"{_REQUEST}/retry"),
        },
        sometimes=("confirm", "cancel", "retry"),
    ),
    "User": members(
        "One user of a request.",
        {
            "input": text("The text that named the user.", "adele@contoso.com"),
            "userId": text("The user's object id, where it is known.", _OBJECT_ID, nullable=True),
            "userPrincipalName": text(
                "The user principal name, where it is known.", "adele@contoso.com", nullable=True
            ),
            "status": choice(
                "What is known of the user: verified is proven, revoked is accepted by Graph, pending is open; "
                "skipped and failed say in error why, planned is who a dry run would revoke.",
                UserStatus,
                "verified",
            ),
            "revokedAt": moment("When the call was sent that ended the sessions.", nullable=True),
            "sessionsValidFrom": moment(
                "The sign-in cut-off that was read back: older sessions are over.",
                "2026-09-10T14:32:27Z",
                nullable=True,
            ),
            "graphRequestId": text(
                "The request-id of Graph's answer, for Microsoft support.",
                "3f8a6b1c-0000-4000-8000-00000000000a",
                nullable=True,
            ),
            "attempts": number("How many revoke calls were sent for this user.", 1),
            "error": ref("Error"),
            "evidence": ref("Evidence"),
        },
        sometimes=("error", "evidence"),
    ),
    "Evidence": members(
        "What the directory's own logs say of a user, where the setting EVIDENCE is on.",
        {
            "initiatedBy": members(
                "Who moved the sign-in cut-off, by the audit log; null until the entry is there.",
                {
                    "kind": choice("An app or a person.", ("app", "user"), "app"),
                    "id": text("Its object id.", "8f5d7f3e-0000-4000-8000-0000000000d1", nullable=True),
                    "name": text("Its name.", "contoso-revoker", nullable=True),
                },
                nullable=True,
            ),
            "correlationId": text("The entry's correlation id.", "0af76519-16cd-43dd-8448-eb211c80319c", nullable=True),
            "auditedAt": moment("The time of the entry.", nullable=True),
            "firstSignIn": members(
                "The first interactive sign-in after the cut-off; null while there was none, and left out where the "
                "sign-in log cannot be read.",
                {
                    "time": moment("When it was."),
                    "app": text("The app that was signed in to.", "Office 365 Exchange Online", nullable=True),
                    "address": text("The IP address.", "203.0.113.77", nullable=True),
                    "result": text("The word success, or Entra's error code with its reason.", "success"),
                },
                sometimes=(),
                nullable=True,
            ),
            "readAt": moment("When the logs were read last."),
        },
        sometimes=("firstSignIn",),
    ),
    "Error": members(
        "Why a user or a whole request was not revoked.",
        {
            "code": choice("A stable code.", sorted(STABLE_CODES), "userNotFound", **{"x-ms-enum": _OPEN}),
            "message": text("What happened, in a sentence.", "Microsoft Graph knows no such user in this tenant."),
            "hint": text("What a person can do about it.", "Check the spelling."),
            "errors": array("Everything that is wrong with a queue message.", ref("Fault")),
        },
        sometimes=("errors",),
    ),
    "RevocationList": members(
        "One page of requests, newest first. A page may be short: go on while there is a nextLink.",
        {
            "value": array(
                "The requests, without their users; with the parameter user each has that user alone.",
                ref("Revocation"),
            ),
            "nextLink": link("The next page.", f"{_BASE}/revocations{_NEXT}"),
        },
        sometimes=("nextLink",),
    ),
    "UserList": members(
        "One page of users. A page may be short: go on while there is a nextLink.",
        {
            "value": array("The users in the order first named.", ref("User")),
            "nextLink": link("The next page.", f"{_REQUEST}/users{_NEXT}"),
        },
        sometimes=("nextLink",),
    ),
    "CancelledRequests": members(
        "How many requests were told to end.", {"requests": number("The number of open requests of the caller.", 3)}
    ),
    "Readiness": members(
        "Whether the app could revoke now, and what is missing.",
        {
            "token": flag("Whether the managed identity gives a token.", True),
            "permissions": array(
                "The Graph permissions in the token.", text("One permission.", "User.RevokeSessions.All")
            ),
            "missing": array(
                "Permissions that are missing.", text("One permission.", "GroupMember.Read.All"), example=[]
            ),
            "grantCommand": text("The command that grants what is missing.", None, nullable=True),
            "table": flag("Whether the tables answer.", True),
            "graph": members(
                "What Graph answered to one call with the token.",
                {
                    "status": number("The HTTP status.", 404, nullable=True),
                    "code": text("Graph's own error code.", "Request_ResourceNotFound", nullable=True),
                },
            ),
            "protection": members(
                "The protected list in force; null where its reading did not end in time.",
                {
                    "entries": number("Entries of PROTECTED_USERS.", 2),
                    "unresolved": array(
                        "Entries that match nobody.", text("One entry.", "gone@contoso.com"), example=[]
                    ),
                    "groupMembers": number("Members of PROTECTED_GROUP.", 4),
                    "from": moment("When the list was read.", nullable=True),
                    "kept": text(
                        "What could not be read, where an earlier reading counts.", "PROTECTED_GROUP is empty"
                    ),
                    "unreadable": array(
                        "What cannot be read, so that no user is revoked.",
                        text("One part of the list.", "PROTECTED_GROUP cannot be read"),
                    ),
                },
                sometimes=("kept", "unreadable"),
                nullable=True,
            ),
            "queue": members(
                "The queue of work messages.",
                {
                    "reachable": flag("Whether the queue answers.", True),
                    "depth": number("How many messages wait.", 0, nullable=True),
                },
            ),
        },
    ),
    "Health": members("The process answers.", {"status": choice("Always ok.", ("ok",), "ok")}),
    "Problem": members(
        "A refusal (RFC 9457).",
        {
            "type": choice(
                "What kind of refusal.",
                [PROBLEM_TYPES + kind for kind in problem_kinds()],
                PROBLEM_TYPES + "invalid-request",
                **{"x-ms-enum": {"name": "ProblemType", "modelAsString": True}},
            ),
            "title": text("The kind in words.", "Invalid request"),
            "status": number("The HTTP status.", 400),
            "detail": text(
                "What to do next.", "Nothing was done. Correct what errors names and send the request again."
            ),
            "errors": array("Every fault of the input, at most 100 and then how many more.", ref("Fault")),
        },
        sometimes=("errors",),
    ),
    "Fault": members(
        "One thing that is wrong with an input.",
        {
            "pointer": text("Where: a JSON Pointer, the name of a parameter or header, or empty.", "/user"),
            "detail": text("What is wrong and what to give instead.", "has no @; a user principal name is name@domain"),
        },
    ),
}
