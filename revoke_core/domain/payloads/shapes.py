"""The shapes of payload that are read, and the reader of each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from revoke_core.domain.payloads import (
    defender_alert,
    lifecycle_workflow,
    risky_users,
    sentinel_accounts,
    sentinel_alert,
    sentinel_entity,
    sentinel_incident,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from revoke_core.domain.payloads.members import Members
    from revoke_core.domain.payloads.named import Named


class Shape(StrEnum):
    """What another product sends, by the name that stands in the route and in messages."""

    SENTINEL_INCIDENT = "sentinel-incident"
    SENTINEL_ALERT = "sentinel-alert"
    SENTINEL_ENTITY = "sentinel-entity"
    SENTINEL_ACCOUNTS = "sentinel-accounts"
    DEFENDER_ALERT = "defender-alert"
    RISKY_USERS = "risky-users"
    LIFECYCLE_WORKFLOW = "lifecycle-workflow"
    CSV = "csv"


# Of the shapes that are JSON objects.
READERS: Final[Mapping[Shape, Callable[[Members], Named]]] = {
    Shape.SENTINEL_INCIDENT: sentinel_incident.read,
    Shape.SENTINEL_ALERT: sentinel_alert.read,
    Shape.SENTINEL_ENTITY: sentinel_entity.read,
    Shape.SENTINEL_ACCOUNTS: sentinel_accounts.read,
    Shape.DEFENDER_ALERT: defender_alert.read,
    Shape.RISKY_USERS: risky_users.read,
    Shape.LIFECYCLE_WORKFLOW: lifecycle_workflow.read,
}
# How a body of each shape begins, for callers who sent another one.
EXAMPLES: Final[Mapping[Shape, str]] = {
    Shape.SENTINEL_INCIDENT: '{"object": {"properties": {"relatedEntities": […]}}}',
    Shape.SENTINEL_ALERT: '{"SystemAlertId": "…", "Entities": […]}',
    Shape.SENTINEL_ENTITY: '{"Entity": {"kind": "Account", "properties": {…}}}',
    Shape.SENTINEL_ACCOUNTS: '{"Accounts": […]}',
    Shape.DEFENDER_ALERT: '{"evidence": […]}',
    Shape.RISKY_USERS: '{"id": "…"} or {"value": […]}',
    Shape.LIFECYCLE_WORKFLOW: '{"data": {"subject": {…}}}',
    Shape.CSV: "a header row such as userPrincipalName, and a line for each user",
}
