"""Directory audits: whatever moves a cut-off leaves rows with one correlation id, a refused revocation leaves none."""

import secrets
from typing import Any, Final

from local.simulator.clock import Clock, audit_stamp, stamp
from local.simulator.directory import User, object_id
from local.simulator.exchange import Answer, Call
from local.simulator.paging import REPORT_PAGE, page
from local.simulator.report_filters import AUDIT_PROPERTIES, parsed_report_filter
from local.simulator.settings import Settings

_REVOKED: Final = ("Update StsRefreshTokenValidFrom Timestamp", "Update user")
# A change of the password moves the cut-off, too, and says so with the same activity.
_PASSWORD_RESET: Final = ("Reset user password", *_REVOKED)


class AuditLog:
    """The rows, and reading them with a simple filter."""

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._rows: list[tuple[float, dict[str, Any]]] = []

    def note_revoke(self, user: User, before: float, call: Call) -> None:
        """A revocation by an application: two rows, about a millisecond apart."""
        self._note(user, before, {"user": None, "app": _application(call)}, _REVOKED)

    def note_by_person(self, user: User, before: float, admin: str, *, password: bool) -> None:
        """A revocation, or a new password, by an administrator in the admin center."""
        person = {"id": object_id(admin), "displayName": None, "userPrincipalName": admin, "ipAddress": "203.0.113.9"}
        self._note(user, before, {"user": person, "app": None}, _PASSWORD_RESET if password else _REVOKED)

    def _note(self, user: User, before: float, initiator: dict[str, Any], activities: tuple[str, ...]) -> None:
        now = self._clock.now()
        text = secrets.token_hex(16)
        correlation = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        change = {
            "displayName": "StsRefreshTokensValidFrom",
            "oldValue": f'["{stamp(before)}"]',
            "newValue": f'["{stamp(user.valid_from)}"]',
        }
        for number, activity in enumerate(activities):
            at = now + number / 1000
            row = {
                "id": f"Directory_{secrets.token_hex(4)}_{len(self._rows)}",
                "category": "UserManagement",
                "correlationId": correlation,
                "result": "success",
                "activityDisplayName": activity,
                "activityDateTime": audit_stamp(at),
                "loggedByService": "Core Directory",
                "operationType": "Update",
                "initiatedBy": initiator,
                "targetResources": [
                    {
                        "id": user.id,
                        "type": "User",
                        "userPrincipalName": user.upn,
                        "modifiedProperties": [change] if activity in _REVOKED else [],
                    }
                ],
            }
            self._rows.append((at, row))

    def read(self, call: Call) -> Answer:
        """The rows that pass the filter, newest first."""
        visible = self._clock.now() - self._settings.audit_lag_seconds
        rows = [row for at, row in reversed(self._rows) if at <= visible + 1]
        if text := call.params.get("$filter"):
            rows = list(filter(_test(text, self._settings), rows))
        context = "auditLogs/directoryAudits"
        return page(
            call, rows, dict, settings=self._settings, clock=self._clock, context=context, usual_size=REPORT_PAGE
        )


def _test(text: str, settings: Settings) -> Any:
    return parsed_report_filter(text, AUDIT_PROPERTIES, with_or=settings.reports_or == "allow")


def _application(call: Call) -> dict[str, Any]:
    grant = call.grant
    return {
        "appId": grant.app_id if grant else None,
        "displayName": "session-revoker",
        "servicePrincipalId": grant.object_id if grant else None,
        "servicePrincipalName": None,
    }
