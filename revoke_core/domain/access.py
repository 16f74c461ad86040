"""Which caller may do what to which request: the one place that decides it.

A route names an action and calls ``require``, or ``require_on`` for an action on one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import NO_SUCH_REQUEST, AccessDenied, NotFound
from revoke_core.domain.request_record import RequestedBy

if TYPE_CHECKING:
    from revoke_core.domain.principal import Principal
    from revoke_core.domain.request_record import RequestRecord


class Role(StrEnum):
    """The app roles, as the tokens carry them; case matters."""

    SUBMIT = "Revocations.Submit"
    READ = "Revocations.Read"
    CONFIRM = "Revocations.Confirm"


class Action(Enum):
    """What a caller can do: a phrase for the refusal, and the roles that may do it to any request or to its own.

    ``own`` is ``None`` where being the submitter is enough, whatever the roles.
    """

    SUBMIT = ("submit requests", frozenset({Role.SUBMIT}), frozenset({Role.SUBMIT}))
    LIST = ("list requests", frozenset({Role.READ, Role.CONFIRM, Role.SUBMIT}), frozenset({Role.SUBMIT}))
    READ = ("read requests", frozenset({Role.READ, Role.CONFIRM}), None)
    READINESS = ("read the readiness", frozenset({Role.READ}), frozenset({Role.READ}))
    CONFIRM = ("release held requests", frozenset({Role.CONFIRM}), frozenset({Role.CONFIRM}))
    CANCEL = ("cancel requests", frozenset({Role.CONFIRM}), frozenset({Role.CONFIRM, Role.SUBMIT}))
    RETRY = ("retry requests", frozenset({Role.CONFIRM}), frozenset({Role.CONFIRM, Role.SUBMIT}))

    def __init__(self, phrase: str, anyones: frozenset[Role], own: frozenset[Role] | None) -> None:
        self.phrase = phrase
        self.anyones = anyones
        self.own = own


# A confirmer must see what it confirms.
_SEES_ALL: Final = frozenset({Role.READ, Role.CONFIRM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller; ``identity`` is ``None`` for a key, which is fingerprinted only where it is logged."""

    roles: frozenset[str]
    identity: RequestedBy | None = None
    user_id: str | None = None

    def owns(self, record: RequestRecord) -> bool:
        """Whether this caller submitted the request."""
        return self.identity is not None and self.identity.is_same_caller(record.requested_by)

    @property
    def confined_to(self) -> RequestedBy | None:
        """The caller whose requests are all that lists may show to this one; ``None`` for all callers' requests."""
        return None if self.roles & _SEES_ALL else self.identity or RequestedBy(kind="unknown")

    def require(self, action: Action) -> None:
        """Return for an action on no particular request, or ``AccessDenied`` naming the role to ask for."""
        if not self.roles & action.anyones:
            raise _role_missing(action, action.anyones)

    def require_on(self, action: Action, record: RequestRecord | None) -> RequestRecord:
        """The request, when the caller may do this to it.

        A request that is not there and another submitter's are refused alike, so that no answer tells which ids exist:
        ``NotFound``, or ``AccessDenied`` for a caller without any role.
        """
        own = record is not None and self.owns(record)
        if record is None or not (own or self.roles & _SEES_ALL):
            if self.roles & frozenset(Role):
                raise NotFound(NO_SUCH_REQUEST)
            raise _role_missing(Action.READ, Action.LIST.anyones)
        needed = action.own if own else action.anyones
        if needed is not None and not self.roles & needed:
            raise _role_missing(action, needed)
        return record

    def require_user(self) -> str:
        """The object id of the person that calls; ``AccessDenied`` for an app on its own, and for a key."""
        if self.user_id is None:
            raise AccessDenied(
                "Only a person has sign-in sessions of its own, and an application calls here. "
                f"Name the user in POST /api/revocations; that needs the app role {Role.SUBMIT}."
            )
        return self.user_id


def key_holder() -> Caller:
    """A caller with a function key, which the host has checked: the keys of single functions are the roles then."""
    return Caller(roles=frozenset(Role))


def entra_caller(principal: Principal) -> Caller:
    """A caller with the roles that Entra assigned to it."""
    return Caller(
        roles=principal.roles,
        identity=RequestedBy(kind="entra", id=principal.object_id, name=principal.name, app_id=principal.app_id),
        user_id=principal.object_id if principal.is_user else None,
    )


def _role_missing(action: Action, needed: frozenset[Role]) -> AccessDenied:
    roles = " or ".join(role for role in Role if role in needed)
    return AccessDenied(
        f"The caller may not {action.phrase}: it needs the app role {roles}. Ask an owner of this enterprise "
        "application in Entra to assign it, then get a new token."
    )
