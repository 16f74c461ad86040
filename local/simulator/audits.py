"""Directory audits: a revocation leaves two rows with one correlation id, a refused one leaves none."""

import re
import secrets
from typing import Any, Final

from local.simulator.clock import Clock, audit_stamp, seconds_of, stamp
from local.simulator.directory import User
from local.simulator.errors import bad_request
from local.simulator.exchange import METADATA, Answer, Call
from local.simulator.settings import Settings

_CLAUSE: Final = re.compile(
    r"activityDateTime (ge|le) (\S+)|targetResources/any\(t:\s*t/id eq '([^']*)'\)|"
    r"activityDisplayName eq '([^']*)'|correlationId eq '([^']*)'"
)


class AuditLog:
    """The rows, and reading them with a simple filter."""

    def __init__(self, *, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._rows: list[tuple[float, dict[str, Any]]] = []

    def note_revoke(self, user: User, before: float, call: Call) -> None:
        """Two rows, about a millisecond apart."""
        now = self._clock.now()
        text = secrets.token_hex(16)
        correlation = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        change = {
            "displayName": "StsRefreshTokensValidFrom",
            "oldValue": f'["{stamp(before)}"]',
            "newValue": f'["{stamp(user.valid_from)}"]',
        }
        for number, activity in enumerate(("Update StsRefreshTokenValidFrom Timestamp", "Update user")):
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
                "initiatedBy": {"user": None, "app": _application(call)},
                "targetResources": [
                    {
                        "id": user.id,
                        "type": "User",
                        "userPrincipalName": user.upn,
                        "modifiedProperties": [change],
                    }
                ],
            }
            self._rows.append((at, row))

    def read(self, call: Call) -> Answer:
        """The rows that pass the filter, newest first."""
        visible = self._clock.now() - self._settings.audit_lag_seconds
        rows = [row for at, row in reversed(self._rows) if at <= visible + 1 and _passes(call.params, at, row)]
        top = call.params.get("$top", "1000")
        size = int(top) if top.isdigit() else 1000
        return Answer(
            status=200, body={"@odata.context": f"{METADATA}#auditLogs/directoryAudits", "value": rows[:size]}
        )


def _application(call: Call) -> dict[str, Any]:
    grant = call.grant
    return {
        "appId": grant.app_id if grant else None,
        "displayName": "session-revoker",
        "servicePrincipalId": grant.object_id if grant else None,
        "servicePrincipalName": None,
    }


def _passes(params: dict[str, str], at: float, row: dict[str, Any]) -> bool:
    text = params.get("$filter", "")
    for clause in [part for part in text.split(" and ") if part.strip()]:
        match = _CLAUSE.fullmatch(clause.strip())
        if match is None:
            raise bad_request("Invalid filter clause")
        direction, moment, target, activity, correlation = match.groups()
        if direction == "ge" and at < seconds_of(moment):
            return False
        if direction == "le" and at > seconds_of(moment):
            return False
        if target is not None and row["targetResources"][0]["id"] != target:
            return False
        if activity is not None and row["activityDisplayName"] != activity:
            return False
        if correlation is not None and row["correlationId"] != correlation:
            return False
    return True
