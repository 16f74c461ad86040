from __future__ import annotations

import re

import pytest
from expansion import NAMES, ROOT, SETS, app_settings, document, one, properties, resources

from revoke_core.domain.permissions import APP_ROLE_IDS, GRAPH_APP_ID, READ_GROUPS, READ_LOGS, REVOKE

GRANT = "Microsoft.Graph/appRoleAssignedTo@v1.0"
APPLICATION = "Microsoft.Graph/applications@v1.0"
OUR_CLIENT_ID = "[coalesce(reference('registration').appId, '')]"
DEFAULT_PERMISSIONS = ["User.ReadWrite.All", "User.RevokeSessions.All", "GroupMember.Read.All"]


def granted(name: str) -> list[str]:
    """The Graph permissions that a set grants, by name."""
    expressions = [grant["properties"]["appRoleId"] for grant in resources(name, GRANT)]
    found = [re.search(r"\['([\w.]+)'\]\]$", text) for text in expressions if "reference('graph')" in text]
    return sorted(match.group(1) for match in found if match)


@pytest.mark.parametrize("name", ["default", "main", "own-network", "private-entra"])
def test_exactly_the_default_permissions_are_granted(name: str) -> None:
    """What the readme promises, and not one more."""
    assert granted(name) == sorted(DEFAULT_PERMISSIONS)
    assert document("template")["parameters"]["graphPermissions"] == DEFAULT_PERMISSIONS


def test_evidence_brings_its_permission_along() -> None:
    """One setting is enough, and without it the logs stay closed to the app."""
    assert app_settings("everything")["EVIDENCE"] == "true"
    assert granted("everything") == sorted([*DEFAULT_PERMISSIONS, READ_LOGS])
    assert READ_LOGS in APP_ROLE_IDS


def test_the_least_privileged_set_is_granted_alone() -> None:
    """Giving a smaller list really takes the larger permissions away from a new deployment."""
    assert granted("least-privilege") == ["User.Read.All", "User.RevokeSessions.All"]


def test_the_default_permissions_are_what_the_app_looks_for() -> None:
    """With them, readiness has nothing to complain of, groups included."""
    assert REVOKE & set(DEFAULT_PERMISSIONS)
    assert READ_GROUPS & set(DEFAULT_PERMISSIONS)
    assert set(DEFAULT_PERMISSIONS) <= set(APP_ROLE_IDS)


def test_permissions_are_found_by_name_among_those_for_applications() -> None:
    """No id is pasted, and a delegated permission of the same name is never taken."""
    for grant in resources("default", GRANT):
        assert "allowedMemberTypes, 'Application')" in grant["properties"]["appRoleId"]
        assert grant["properties"]["resourceId"] == "[reference('graph').id]"
    source = (ROOT / "infra" / "modules" / "grant.bicep").read_text()
    assert re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", source) == [GRAPH_APP_ID]


@pytest.mark.parametrize("name", [name for name in SETS if name != "without-grant"])
def test_the_permissions_go_to_the_apps_identity(name: str) -> None:
    """And to nobody else."""
    identity = one(name, "Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    for grant in resources(name, GRANT):
        if "reference('graph')" in grant["properties"]["appRoleId"]:
            assert identity in grant["properties"]["principalId"]


def test_the_grant_can_be_left_out() -> None:
    """Then nothing of the deployment touches Entra, and it needs no Entra role."""
    assert not [each for each in resources("without-grant") if each["type"].startswith("Microsoft.Graph/")]


@pytest.mark.parametrize("name", [name for name in SETS if name != "private-entra"])
def test_without_entra_authentication_there_is_no_registration(name: str) -> None:
    """Function keys are the default; the platform's authentication is off, and says so."""
    assert not resources(name, APPLICATION)
    assert properties(name, "Microsoft.Web/sites/config", "/authsettingsV2") == {"platform": {"enabled": False}}


def test_the_registration_has_the_three_roles_for_people_and_apps() -> None:
    """Each role of the app can be given to a person, a group or a logic app's identity."""
    roles = properties("private-entra", APPLICATION)["appRoles"]
    assert {role["value"]: role["description"] for role in roles} == NAMES["appRoles"]
    assert {role["value"] for role in roles} == {"Revocations.Submit", "Revocations.Read", "Revocations.Confirm"}
    assert all(sorted(role["allowedMemberTypes"]) == ["Application", "User"] and role["isEnabled"] for role in roles)
    assert len({role["id"] for role in roles}) == len(roles)


def test_the_registration_has_no_credential() -> None:
    """It only names an audience: no secret, no certificate, no sign-in page to come back to, one tenant."""
    registration = properties("private-entra", APPLICATION)
    assert not {"passwordCredentials", "keyCredentials", "web", "spa", "publicClient"} & set(registration)
    assert registration["signInAudience"] == "AzureADMyOrg"
    assert not resources("private-entra", "Microsoft.Graph/applications/federatedIdentityCredentials@v1.0")


def test_tokens_are_of_version_two_and_for_this_app() -> None:
    """The audience is the registration, the issuer the tenant."""
    registration = properties("private-entra", APPLICATION)
    assert registration["api"]["requestedAccessTokenVersion"] == 2
    platform = properties("private-entra", "Microsoft.Web/sites/config", "/authsettingsV2")
    entra = platform["identityProviders"]["azureActiveDirectory"]
    (identifier,) = registration["identifierUris"]
    assert entra["validation"]["allowedAudiences"] == [OUR_CLIENT_ID, identifier]
    assert entra["registration"]["clientId"] == OUR_CLIENT_ID
    assert entra["registration"]["openIdIssuer"] == (
        "[format('{0}{1}/v2.0', environment().authentication.loginEndpoint, '00000000-0000-4000-8000-000000000002')]"
    )
    assert "clientSecretSettingName" not in entra["registration"]


def test_the_app_itself_turns_callers_away() -> None:
    """Signed links and /health stay anonymous, so the platform lets everybody through and only reads tokens."""
    platform = properties("private-entra", "Microsoft.Web/sites/config", "/authsettingsV2")
    assert platform["platform"] == {"enabled": True}
    assert platform["globalValidation"] == {
        "requireAuthentication": False,
        "unauthenticatedClientAction": "AllowAnonymous",
    }
    assert platform["httpSettings"] == {"requireHttps": True}
    assert platform["login"] == {"tokenStore": {"enabled": False}}


def test_callers_without_a_role_are_known_to_entra_too() -> None:
    """Everybody may end the own sessions: a token is given without a role, and the app looks at the roles."""
    found = properties("private-entra", "Microsoft.Graph/servicePrincipals@v1.0")
    assert found == {"appId": "[reference('registration').appId]", "appRoleAssignmentRequired": False}


def test_tokens_tell_applications_from_people() -> None:
    """An application that acts on its own has no sessions to end; the claim says so."""
    claims = properties("private-entra", APPLICATION)["optionalClaims"]["accessToken"]
    assert [claim["name"] for claim in claims] == ["idtyp"]


def test_only_the_command_line_is_trusted_in_advance() -> None:
    """A person can get a token with the Azure CLI; no other client is preauthorised."""
    api = properties("private-entra", APPLICATION)["api"]
    (scope,) = api["oauth2PermissionScopes"]
    assert api["preAuthorizedApplications"] == [
        {"appId": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "delegatedPermissionIds": [scope["id"]]}
    ]
    assert scope["type"] == "Admin"


def test_callers_get_the_role_that_is_named_and_no_other() -> None:
    """A submitter is not made a confirmer."""
    ids = {role["id"]: role["value"] for role in properties("private-entra", APPLICATION)["appRoles"]}
    given = [
        (each["properties"]["principalId"][:2], ids[each["properties"]["appRoleId"]])
        for each in resources("private-entra", GRANT)
        if each["properties"]["resourceId"] == "[reference('servicePrincipal').id]"
    ]
    assert sorted(given) == [("11", "Revocations.Submit"), ("22", "Revocations.Confirm")]
