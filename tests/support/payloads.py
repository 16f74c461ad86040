"""What other products send, with somebody in it who must never be revoked: managers, owners, reporters, actors."""

from __future__ import annotations

from typing import Any

ADELE = "8f5d00b1-aa1c-4f0d-9d5e-0a1b2c3d4e5f"
TENANT = "99999999-2222-3333-4444-555555555555"
NEVER_ID = "deadbeef-0000-4000-8000-000000000001"
NEVER = "never@contoso.com"
SID = "S-1-5-21-1004336348-1177238915-682003330-512"


def account(**properties: Any) -> dict[str, Any]:
    """An account entity of an incident."""
    given = {"aadUserId": ADELE, "accountName": "adele", "upnSuffix": "contoso.com", "aadTenantId": TENANT}
    return {"id": "/entities/1", "kind": "Account", "properties": given | {"objectGuid": NEVER_ID} | properties}


def incident(*entities: Any, **properties: Any) -> dict[str, Any]:
    """What the incident trigger sends."""
    given = {
        "title": "Token replay",
        "severity": "High",
        "incidentNumber": 1042,
        "owner": {"userPrincipalName": NEVER, "objectId": NEVER_ID, "email": NEVER},
        "additionalData": {"alertProductNames": ["Microsoft Defender XDR"]},
        "relatedEntities": list(entities),
    }
    return {
        "objectSchemaType": "Incident",
        "objectEventType": "Create",
        "workspaceId": TENANT,
        "object": {
            "id": f"/subscriptions/{TENANT}/providers/Microsoft.SecurityInsights/Incidents/{NEVER_ID}",
            "name": NEVER_ID,
            "properties": given | properties,
        },
    }


def alert(entities: Any, **more: Any) -> dict[str, Any]:
    """What the alert trigger sends, or a row of the table."""
    given = {"SystemAlertId": NEVER_ID, "AlertType": "x", "WorkspaceId": TENANT, "CompromisedEntity": NEVER}
    return given | {"Entities": entities} | more


def flat(**properties: Any) -> dict[str, Any]:
    """An account as alerts and the connector's actions have it."""
    given = {"Type": "account", "Name": "adele", "UPNSuffix": "contoso.com", "AadUserId": ADELE, "AadTenantId": TENANT}
    return given | {"ObjectGuid": NEVER_ID, "Host": {"Type": "host", "HostName": NEVER}} | properties


def entity(**properties: Any) -> dict[str, Any]:
    """What the entity trigger sends."""
    kind = properties.pop("kind", "Account")
    return {
        "Entity": {
            "id": NEVER_ID,
            "type": "Microsoft.SecurityInsights/Entities",
            "kind": kind,
            "properties": properties,
        },
        "IncidentArmID": None,
        "workspaceId": TENANT,
    }


def user_evidence(**account: Any) -> dict[str, Any]:
    """A user of a Defender alert."""
    given = {
        "accountName": "adele",
        "domainName": "CONTOSO",
        "userSid": SID,
        "azureAdUserId": ADELE,
        "userPrincipalName": "adele@contoso.com",
        "displayName": "Adele Vance",
    }
    kind = "#microsoft.graph.security.userEvidence"
    return {"@odata.type": kind, "roles": ["compromised"], "userAccount": given | account}


def mailbox_evidence(**more: Any) -> dict[str, Any]:
    """A mailbox of a Defender alert."""
    given = {"primaryAddress": "adele.vance@contoso.com", "upn": "adele@contoso.com", "userAccount": None}
    return {"@odata.type": "#microsoft.graph.security.mailboxEvidence"} | given | more


def defender(*evidence: Any, **more: Any) -> dict[str, Any]:
    """A Defender alert, with evidence of other kinds around."""
    process = {
        "@odata.type": "#microsoft.graph.security.processEvidence",
        "userAccount": {"azureAdUserId": NEVER_ID, "userPrincipalName": NEVER},
    }
    mail = {"@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", "recipientEmailAddress": NEVER}
    device = {
        "@odata.type": "#microsoft.graph.security.deviceEvidence",
        "loggedOnUsers": [{"accountName": "never", "domainName": "CONTOSO"}],
    }
    given = {"id": "da637", "assignedTo": NEVER, "tenantId": TENANT, "incidentId": "1042", "title": "Token replay"}
    return given | {"evidence": [process, *evidence, mail, device]} | more


def risky_user(**more: Any) -> dict[str, Any]:
    """A riskyUser."""
    given = {"id": ADELE, "riskLevel": "high", "riskState": "atRisk", "userDisplayName": "Adele Vance"}
    return given | {"userPrincipalName": "adele@contoso.com"} | more


def risk_detection(**more: Any) -> dict[str, Any]:
    """A riskDetection, whose own id is no user's."""
    given = {"id": NEVER_ID, "requestId": NEVER_ID, "riskEventType": "anomalousToken", "userId": ADELE}
    return given | {"userPrincipalName": "adele@contoso.com", "userDisplayName": "Adele Vance"} | more


def workflow(**subject: Any) -> dict[str, Any]:
    """What a lifecycle workflow sends for a leaver."""
    given = {
        "id": ADELE,
        "displayName": "Adele Vance",
        "email": "adele.vance@contoso.com",
        "userPrincipalName": "adele@contoso.com",
        "manager": {"id": NEVER_ID, "displayName": "Miriam", "email": NEVER, "userPrincipalName": NEVER},
    }
    return {
        "source": "/identityGovernance/lifecycleWorkflows/1",
        "type": "lifecycleEvent",
        "data": {
            "callbackUriPath": f"/identityGovernance/{NEVER_ID}/resume",
            "subject": given | subject,
            "task": {"id": NEVER_ID, "displayName": "Revoke sessions"},
            "workflow": {"id": NEVER_ID, "displayName": "Real-time leaver", "createdBy": {"id": NEVER_ID}},
        },
    }


LEAVERS = (
    "\ufeffPersonnelnumber;WorkerName;WorkEmail;EmploymentEndDate;LastDayWorked;ManagerName;ManagerEmail\r\n"
    f'004711;"Vance, Adele";adele@contoso.com ;30.11.2026;27.11.2026;Miriam Graham;{NEVER}\r\n'
    f'004712;"O\u2019Neil, Conor";Conor.O\u2019Neil@contoso.com;30.11.2026;27.11.2026;Miriam Graham;{NEVER}\r\n'
    f"004713;Bob;;30.11.2026;27.11.2026;Miriam Graham;{NEVER}\r\n"
)
