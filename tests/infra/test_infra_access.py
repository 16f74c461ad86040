from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import pytest
from expansion import NAMES, SETS, one, properties, resources

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
BUILT_IN = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "Storage Queue Data Message Sender",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
OF_THE_APP = {
    ("Storage Blob Data Owner", "storageAccounts"),
    ("Storage Queue Data Contributor", "storageAccounts"),
    ("Storage Table Data Contributor", "storageAccounts"),
    ("Monitoring Metrics Publisher", "components"),
}
# What the template function guid() is made with.
GUID_OF_AZURE: Final = UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
every_set = pytest.mark.parametrize("name", SETS)


def scope(assignment: dict[str, str]) -> str:
    return assignment["id"].split(f"/providers/{ASSIGNMENT}/")[0]


def role(assignment: dict[str, dict[str, str]]) -> str:
    return BUILT_IN[assignment["properties"]["roleDefinitionId"].split("/")[-1]]


def test_the_role_ids_are_microsofts() -> None:
    """A wrong digit would give another power."""
    assert NAMES["roleDefinitions"] == {title: number for number, title in BUILT_IN.items()}


@every_set
def test_the_identity_has_exactly_these_roles(name: str) -> None:
    """Four roles, each on the one resource it is for: nothing on the group, nothing on the subscription."""
    mine = [each for each in resources(name, ASSIGNMENT) if each["properties"]["principalId"].startswith("[reference(")]
    assert {(role(each), scope(each).split("/")[-2]) for each in mine} == OF_THE_APP
    assert len(mine) == len(OF_THE_APP)


@every_set
def test_roles_go_to_the_app_and_are_scoped_to_its_own_resources(name: str) -> None:
    """The principal is the identity made here, the scopes are the account and the component made here."""
    own = {
        resource["id"]
        for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.Insights/components")
        for resource in resources(name, kind)
    }
    for each in resources(name, ASSIGNMENT):
        if each["properties"]["principalId"].startswith("["):
            assert scope(each) in own
            assert one(name, IDENTITY)["id"] in each["properties"]["principalId"]
            # Without the type, an identity that is not yet known everywhere makes the assignment fail.
            assert each["properties"]["principalType"] == "ServicePrincipal"


@pytest.mark.parametrize("name", [name for name in SETS if name != "everything"])
def test_nobody_else_gets_a_role_unasked(name: str) -> None:
    """The person who deploys gets no standing access to the status log."""
    assert len(resources(name, ASSIGNMENT)) == len(OF_THE_APP)


def test_a_sender_may_only_put_messages_and_only_there() -> None:
    """Whoever may write to the work queue could carry out requests: senders get the queue of the doors alone."""
    (sender,) = [each for each in resources("everything", ASSIGNMENT) if each["properties"]["principalId"][0] != "["]
    assert role(sender) == "Storage Queue Data Message Sender"
    assert scope(sender).endswith("/queueServices/default/queues/revocation-requests")
    assert sender["properties"]["principalId"] == "33333333-3333-4333-8333-333333333333"
    assert sender["properties"]["principalType"] == "ServicePrincipal"


@every_set
def test_assignments_have_names_of_their_own(name: str) -> None:
    """Two identities, or two roles, never share an assignment: Azure lets nobody give one to somebody else."""
    for each in resources(name, ASSIGNMENT):
        principal = each["properties"]["principalId"]
        holder = one(name, IDENTITY)["id"] if principal.startswith("[") else principal
        parts = (scope(each), holder, each["properties"]["roleDefinitionId"].split("/")[-1])
        assert each["id"].split("/")[-1] == str(uuid5(GUID_OF_AZURE, "-".join(parts)))


@every_set
def test_the_app_acts_as_that_identity_and_no_other(name: str) -> None:
    """One user-assigned identity: none of the system's that somebody would have to watch, too."""
    identity = one(name, "Microsoft.Web/sites")["identity"]
    assert identity == {"type": "UserAssigned", "userAssignedIdentities": {one(name, IDENTITY)["id"]: {}}}


def test_a_higher_version_makes_a_fresh_identity() -> None:
    """The quick way out of a token that was cached without its permissions."""
    assert one("everything", IDENTITY)["name"] == "contoso-revoker-id-2"
    assert one("default", IDENTITY)["name"].startswith("id-revoker-")


@every_set
def test_telemetry_takes_only_identities(name: str) -> None:
    """Whoever reads the connection string can publish nothing with it."""
    assert properties(name, "Microsoft.Insights/components")["DisableLocalAuth"] is True
    for workspace in resources(name, "Microsoft.OperationalInsights/workspaces"):
        assert workspace["properties"]["features"]["disableLocalAuth"] is True
