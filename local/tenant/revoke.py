"""`revokeSignInSessions`: moves the cut-off, or for someone who signs in elsewhere only says so."""

from http import HTTPStatus

from local.tenant.audits import AuditLog
from local.tenant.clock import Clock
from local.tenant.directory import Directory
from local.tenant.errors import not_found
from local.tenant.exchange import JSON_TYPE, METADATA, Answer, Call
from local.tenant.permissions import revoke_denied
from local.tenant.settings import Settings

ACCEPTED = {"@odata.context": f"{METADATA}#Edm.Boolean", "value": True}


class Revocation:
    """The action on one user; the answer's `value` is always true, as Graph's is."""

    def __init__(self, *, directory: Directory, audits: AuditLog, settings: Settings, clock: Clock) -> None:
        self._directory = directory
        self._audits = audits
        self._settings = settings
        self._clock = clock

    def revoke(self, call: Call, *, key: str) -> tuple[Answer, bool]:
        """The answer, and whether the cut-off moved; GraphError 404 for nobody, 403 for a protected administrator."""
        user = self._directory.user(key)
        if user is None:
            raise not_found(key)
        if user.is_admin and self._settings.admin_targets == "refuse":
            raise revoke_denied(self._settings)
        effective = not user.invited
        if effective:
            old, now = user.valid_from, self._clock.now()
            user.move_cut_off(at=self._clock.real_seconds(), moment=int(now))
            self._audits.record(user=user, old=old, at=now, grant=call.grant, user_agent=call.headers.get("user-agent"))
        if self._settings.revoke_status == HTTPStatus.NO_CONTENT:
            return Answer(status=HTTPStatus.NO_CONTENT), effective
        return Answer(status=HTTPStatus.OK, headers={"Content-Type": JSON_TYPE}, body=ACCEPTED), effective
