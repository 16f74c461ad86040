"""The sign-in log: interactive sign-ins of users, as a test scripts them; reading it takes a premium licence."""

import secrets
from typing import Any

from local.simulator.clock import Clock, seconds_of, stamp
from local.simulator.directory import Directory, object_id
from local.simulator.errors import GraphError
from local.simulator.exchange import Answer, Call
from local.simulator.paging import REPORT_PAGE, page
from local.simulator.report_filters import SIGN_IN_PROPERTIES, parsed_report_filter
from local.simulator.settings import Settings


class SignInLog:
    """The rows, and reading them with a simple filter."""

    def __init__(self, *, directory: Directory, clock: Clock, settings: Settings) -> None:
        self._directory = directory
        self._clock = clock
        self._settings = settings
        # The moment at which the sign-in happened as far as ingestion is concerned: when it was scripted.
        self._rows: list[tuple[float, dict[str, Any]]] = []

    def add(self, content: dict[str, Any]) -> dict[str, Any]:
        """Write down a sign-in of ``user``; ValueError for a user that is not there.

        ``at`` (default now), ``app``, ``address``, ``errorCode`` (0 is success) and ``failureReason`` may be given.
        """
        user = self._directory.find(str(content.get("user") or ""))
        if user is None:
            raise ValueError("user must be the id or the name of a user that exists")
        now = self._clock.now()
        app, error = str(content.get("app") or "Office 365"), int(content.get("errorCode") or 0)
        row = {
            "id": secrets.token_hex(16),
            "createdDateTime": stamp(seconds_of(content["at"]) if content.get("at") else now),
            "userDisplayName": user.properties.get("displayName"),
            "userPrincipalName": user.upn.lower(),
            "userId": user.id,
            "appId": object_id(f"app:{app}"),
            "appDisplayName": app,
            "ipAddress": str(content.get("address") or "198.51.100.7"),
            "clientAppUsed": "Browser",
            "correlationId": object_id(secrets.token_hex(8)),
            "conditionalAccessStatus": "notApplied",
            "isInteractive": True,
            "resourceDisplayName": app,
            "status": {
                "errorCode": error,
                "failureReason": str(content.get("failureReason") or "Other."),
                "additionalDetails": None,
            },
        }
        self._rows.append((now, row))
        return row

    def read(self, call: Call) -> Answer:
        """The rows that pass the filter, newest first."""
        if not self._settings.premium_license:
            raise GraphError(
                status=403,
                code="Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                message="Neither tenant is B2C or tenant doesn't have premium license",
            )
        visible = self._clock.now() - self._settings.sign_in_lag_seconds
        rows = [row for at, row in self._rows if at <= visible]
        rows.sort(key=lambda row: str(row["createdDateTime"]), reverse=True)
        if text := call.params.get("$filter"):
            with_or = self._settings.reports_or == "allow"
            rows = list(filter(parsed_report_filter(text, SIGN_IN_PROPERTIES, with_or=with_or), rows))
        context = "auditLogs/signIns"
        return page(
            call, rows, dict, settings=self._settings, clock=self._clock, context=context, usual_size=REPORT_PAGE
        )
