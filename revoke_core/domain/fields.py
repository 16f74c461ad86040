"""Every member of every request body: its name, its kind, its limits, what it means and an example.

``BodyReader`` reads bodies by these tables, and ``python -m local openapi`` makes the API's description from them: a
member that is added here is read and described.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from revoke_core.domain.identifiers import LONGEST_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.domain.request_record import RequestedBy

LONGEST_NAME: Final = 200
MOST_GROUPS: Final = 1000
_LONGEST_FILTER: Final = 4000
LONGEST_REASON: Final = 1000
_OBJECT_ID: Final = "8f5d7f3e-0000-4000-8000-000000000001"
_EARLIER: Final = "2026-09-10T14:32:27Z"
_SHOWN_CALLER: Final = {"kind": "key", "id": "5d41402abc4b2a76"}


# What a member's value is; ``BodyReader`` has one method for each.
type Kind = Literal["user", "users", "groups", "filter", "text", "key", "count", "flag", "caller", "time", "any"]


# Named tuples: a dataclass would take four times as long to make at each start of the app.
class Field[T](NamedTuple):
    """One member; ``T`` is what the reader makes of it.

    ``longest`` is the most characters of a text or the most entries of a list. ``default`` stands for an absent flag.
    ``missing`` is the fault where a member that must be there is not.
    """

    name: str
    kind: Kind
    description: str
    example: Any
    longest: int | None = None
    default: bool | None = None
    missing: str | None = None


class Body(NamedTuple):
    """One JSON object that callers send: its members, an example, and of which members one at least must be there."""

    name: str
    description: str
    fields: tuple[Field[Any], ...]
    example: dict[str, Any]
    one_of: tuple[Field[Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all members."""
        return tuple(field.name for field in self.fields)

    @property
    def shown(self) -> str:
        """The example as JSON."""
        return json.dumps(self.example)


USER: Final[Field[list[str]]] = Field(
    name="user",
    kind="user",
    description="One user: an object id or a user principal name.",
    example="adele@contoso.com",
)
USERS: Final[Field[list[str]]] = Field(
    name="users",
    kind="users",
    description="Several users, each an object id or a user principal name; the setting MAX_USERS says how many.",
    example=[_OBJECT_ID, "bob@contoso.com"],
)
GROUPS: Final[Field[tuple[str, ...]]] = Field(
    name="groups",
    kind="groups",
    description="Object ids of groups whose members are meant.",
    example=["8f5d7f3e-0000-4000-8000-0000000000aa"],
    longest=MOST_GROUPS,
)
TRANSITIVE: Final[Field[bool]] = Field(
    name="transitive",
    kind="flag",
    description="Whether members of groups inside the groups are meant too, at any depth.",
    example=True,
    default=True,
)
FILTER: Final[Field[str | None]] = Field(
    name="filter",
    kind="filter",
    description="An OData filter over the users of Microsoft Graph, in one line.",
    example="department eq 'HP'",
    longest=_LONGEST_FILTER,
)
EXCLUDE: Final[Field[list[str]]] = Field(
    name="exclude",
    kind="users",
    description="Users who are not to be revoked, whoever names them, each an object id or a user principal name.",
    example=["breakglass@contoso.com"],
)
REASON: Final[Field[str | None]] = Field(
    name="reason",
    kind="text",
    description="Why, for example a ticket number; the setting REQUIRE_REASON makes it a must.",
    example="INC-1042 stolen token",
    longest=LONGEST_REASON,
)
EXPECTED_USERS: Final[Field[int | None]] = Field(
    name="expectedUsers",
    kind="count",
    description="Confirms in advance: groups and a filter that come down to no more users are not held.",
    example=340,
)
DRY_RUN: Final[Field[bool]] = Field(
    name="dryRun",
    kind="flag",
    description="Whether only to say who would be revoked.",
    example=False,
    default=False,
)
VERIFY: Final[Field[bool]] = Field(
    name="verify",
    kind="flag",
    description="Whether to prove the effect by reading each user's sign-in cut-off back.",
    example=True,
    default=True,
)
KEY: Final[Field[str | None]] = Field(
    name="idempotencyKey",
    kind="key",
    description="The same as the header Idempotency-Key, for callers that cannot set headers: printable ASCII.",
    example="INC-1042-adele",
    longest=LONGEST_KEY,
)
MESSAGE_KEY: Final[Field[str | None]] = Field(
    name="idempotencyKey",
    kind="text",
    description="Makes two messages of one sender one request; without it the message id serves.",
    example="hr-4711",
    longest=LONGEST_KEY,
)
SENDER: Final[Field[str | None]] = Field(
    name="requestedBy",
    kind="text",
    description="The name that the sender of the message gives itself.",
    example="HR",
    longest=LONGEST_NAME,
)
HELD_USERS: Final[Field[int | None]] = Field(
    name="users",
    kind="count",
    description="The number of users that the request is held with.",
    example=340,
    missing="is missing: the number of users the request was held with",
)
CALLER: Final[Field[RequestedBy | None]] = Field(
    name="requestedBy",
    kind="caller",
    description="Whose requests: requestedBy as a request shows it, of which kind and id count.",
    example=_SHOWN_CALLER,
    missing=f"must be requestedBy as a request shows it, such as {json.dumps({'requestedBy': _SHOWN_CALLER})}",
)
SINCE: Final[Field[datetime | None]] = Field(
    name="since",
    kind="time",
    description="Only requests made at this time or later.",
    example=_EARLIER,
    longest=LONGEST_NAME,
)
SHAPE: Final[Field[str | None]] = Field(
    name="shape",
    kind="text",
    description="What product the payload is of, by the name that stands in the route of payloads.",
    example="sentinel-accounts",
    longest=LONGEST_NAME,
)
PAYLOAD: Final[Field[Any]] = Field(
    name="body",
    kind="any",
    description="The payload as the other product sends it; a CSV list is a text.",
    example={"Accounts": [{"Name": "adele", "UPNSuffix": "contoso.com"}]},
)

CALLBACK_URL: Final[Field[str | None]] = Field(
    name="callbackUrl",
    kind="text",
    description="Where the request is posted, signed and without its users, when it is held and when it has ended; an "
    "https address on a host that the setting CALLBACK_HOSTS names.",
    example="https://hooks.contoso.com/done",
)

_TARGETS: Final = (USER, USERS, GROUPS, FILTER)
_REQUEST: Final = (
    USER,
    USERS,
    GROUPS,
    TRANSITIVE,
    FILTER,
    EXCLUDE,
    REASON,
    EXPECTED_USERS,
    DRY_RUN,
    VERIFY,
    CALLBACK_URL,
)

SUBMIT: Final = Body(
    name="RevocationRequest",
    description="Whose sign-in sessions to end, and how; user, users, groups or filter must be there.",
    fields=(*_REQUEST, KEY),
    example={"user": USER.example},
    one_of=_TARGETS,
)
MESSAGE: Final = Body(
    name="QueueMessage",
    description="The same as a message on the storage queue revocation-requests.",
    fields=(*_REQUEST, MESSAGE_KEY, SENDER),
    example={"user": USER.example},
    one_of=_TARGETS,
)
# What a request holds beside a payload that names the users itself.
_BESIDE_PAYLOAD: Final = (EXCLUDE, REASON, EXPECTED_USERS, DRY_RUN, VERIFY, CALLBACK_URL)
PAYLOAD_QUERY: Final = Body(
    name="PayloadQuery",
    description="What stands in the query beside a payload.",
    fields=(*_BESIDE_PAYLOAD, KEY),
    example={"reason": REASON.example},
)
PAYLOAD_MESSAGE: Final = Body(
    name="PayloadMessage",
    description="Another product's payload as a message on the storage queue revocation-requests.",
    fields=(SHAPE, PAYLOAD, *_BESIDE_PAYLOAD, MESSAGE_KEY, SENDER),
    example={"shape": SHAPE.example, "body": PAYLOAD.example},
)
OWN: Final = Body(
    name="OwnRevocationRequest",
    description="A request for the caller's own sessions.",
    fields=(REASON, KEY),
    example={"reason": "lost phone"},
)
RETRY: Final = Body(
    name="RetryRequest",
    description="A retry takes everything else from the request that it repeats.",
    fields=(KEY,),
    example={"idempotencyKey": "INC-1042-again"},
)
CONFIRM: Final = Body(
    name="Confirmation",
    description="Releases a held request.",
    fields=(HELD_USERS,),
    example={"users": HELD_USERS.example},
)
CANCEL_OPEN: Final = Body(
    name="CancellationOfCaller",
    description="Names the caller whose open requests are to end.",
    fields=(CALLER, SINCE),
    example={"requestedBy": CALLER.example, "since": SINCE.example},
)
# Without those of payloads, whose shapes have readers of their own.
BODIES: Final = (SUBMIT, MESSAGE, OWN, RETRY, CONFIRM, CANCEL_OPEN)
