"""Evidence as columns of a user's row in ``RevocationUsers``, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revoke_core.domain.evidence import Evidence, Initiator, SignIn
from revoke_core.domain.timestamps import parsed_or_none, written

if TYPE_CHECKING:
    from collections.abc import Mapping


def evidence_columns(evidence: Evidence | None) -> dict[str, Any]:
    """The columns, ``None`` for what was not found; none at all while nothing was read."""
    if evidence is None:
        return {}
    initiator, sign_in = evidence.initiated_by, evidence.first_sign_in
    return {
        "EvidenceReadAt": written(evidence.read_at),
        "EvidenceInitiatedByKind": initiator.kind if initiator else None,
        "EvidenceInitiatedById": initiator.id if initiator else None,
        "EvidenceInitiatedByName": initiator.name if initiator else None,
        "EvidenceCorrelationId": evidence.correlation_id,
        "EvidenceAuditedAt": written(evidence.audited_at) if evidence.audited_at else None,
        "EvidenceSignInsRead": evidence.sign_ins_read,
        "EvidenceFirstSignInTime": written(sign_in.time) if sign_in else None,
        "EvidenceFirstSignInApp": sign_in.app if sign_in else None,
        "EvidenceFirstSignInAddress": sign_in.address if sign_in else None,
        "EvidenceFirstSignInResult": sign_in.result if sign_in else None,
    }


def evidence_from(entity: Mapping[str, Any]) -> Evidence | None:
    """The evidence in a row's columns."""
    read_at = parsed_or_none(entity.get("EvidenceReadAt"))
    if read_at is None:
        return None
    kind, time = entity.get("EvidenceInitiatedByKind"), parsed_or_none(entity.get("EvidenceFirstSignInTime"))
    return Evidence(
        read_at=read_at,
        initiated_by=Initiator(
            kind=kind, id=entity.get("EvidenceInitiatedById"), name=entity.get("EvidenceInitiatedByName")
        )
        if kind
        else None,
        correlation_id=entity.get("EvidenceCorrelationId"),
        audited_at=parsed_or_none(entity.get("EvidenceAuditedAt")),
        sign_ins_read=bool(entity.get("EvidenceSignInsRead")),
        first_sign_in=SignIn(
            time=time,
            app=entity.get("EvidenceFirstSignInApp"),
            address=entity.get("EvidenceFirstSignInAddress"),
            result=entity.get("EvidenceFirstSignInResult") or "",
        )
        if time
        else None,
    )
