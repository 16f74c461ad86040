from __future__ import annotations

import pytest
from expansion import NAMES, SETS, properties, resources

from revoke_core.adapters.storage import DOOR_QUEUE, POISON, QUEUES, TABLES, WORK_QUEUE

ACCOUNT = "Microsoft.Storage/storageAccounts"
every_set = pytest.mark.parametrize("name", SETS)


def test_the_names_are_the_ones_of_the_code() -> None:
    """Bicep and Python agree on every queue and table."""
    assert (NAMES["doorQueue"], NAMES["workQueue"], NAMES["poisonSuffix"]) == (DOOR_QUEUE, WORK_QUEUE, POISON)
    assert NAMES["tables"] == list(TABLES)


@every_set
def test_every_queue_is_declared(name: str) -> None:
    """The app finds its queues, the poison ones too, and no others."""
    found = {queue["name"].split("/")[-1] for queue in resources(name, f"{ACCOUNT}/queueServices/queues")}
    assert found == set(QUEUES)


@every_set
def test_every_table_is_declared(name: str) -> None:
    """The status log has its tables before the first request."""
    found = {table["name"].split("/")[-1] for table in resources(name, f"{ACCOUNT}/tableServices/tables")}
    assert found == set(TABLES)


@every_set
def test_no_key_opens_the_account(name: str) -> None:
    """Account keys, SFTP users and key-signed links are all switched off; Entra is the default in the portal."""
    account = properties(name, ACCOUNT)
    assert account["allowSharedKeyAccess"] is False
    assert account["isLocalUserEnabled"] is False
    assert account["defaultToOAuthAuthentication"] is True


@every_set
def test_nothing_in_the_account_is_anonymous(name: str) -> None:
    """No blob is public, neither by the account nor by its container, and no other tenant gets copies."""
    account = properties(name, ACCOUNT)
    assert account["allowBlobPublicAccess"] is False
    assert account["allowCrossTenantReplication"] is False
    assert properties(name, f"{ACCOUNT}/blobServices/containers")["publicAccess"] == "None"


@every_set
def test_the_account_speaks_only_current_tls(name: str) -> None:
    """Plain HTTP and old TLS are refused."""
    account = properties(name, ACCOUNT)
    assert account["supportsHttpsTrafficOnly"] is True
    assert account["minimumTlsVersion"] == "TLS1_2"


@every_set
def test_deleted_packages_can_be_brought_back(name: str) -> None:
    """Blobs and containers survive a wrong click for a week."""
    blobs = properties(name, f"{ACCOUNT}/blobServices")
    assert blobs["deleteRetentionPolicy"] == {"enabled": True, "days": 7}
    assert blobs["containerDeleteRetentionPolicy"] == {"enabled": True, "days": 7}


@every_set
def test_who_writes_to_the_queues_is_logged(name: str) -> None:
    """A message only claims its sender; the storage log knows the identity."""
    found = resources(name, "Microsoft.Insights/diagnosticSettings")
    assert [setting["properties"]["logs"] for setting in found] == [[{"category": "StorageWrite", "enabled": True}]]
    assert "/queueServices/default/" in found[0]["id"]
    assert "/workspaces/" in found[0]["properties"]["workspaceId"]


def test_redundancy_is_what_was_asked_for() -> None:
    """Local by default, for every region has it; zones on request."""
    assert resources("default", ACCOUNT)[0]["sku"] == {"name": "Standard_LRS"}
    assert resources("everything", ACCOUNT)[0]["sku"] == {"name": "Standard_ZRS"}


@pytest.mark.parametrize("name", ["private-entra", "without-grant", "own-network"])
def test_a_private_account_answers_only_inside(name: str) -> None:
    """With a virtual network nothing of the storage is left on the Internet, not even for other Azure services."""
    account = properties(name, ACCOUNT)
    assert account["publicNetworkAccess"] == "Disabled"
    assert account["networkAcls"] == {"bypass": "None", "defaultAction": "Deny"}


@pytest.mark.parametrize("name", ["default", "least-privilege", "everything", "main"])
def test_a_public_account_lets_no_service_round_the_roles(name: str) -> None:
    """Without a virtual network the app reaches it over the Internet; the roles decide, without exceptions."""
    account = properties(name, ACCOUNT)
    assert account["publicNetworkAccess"] == "Enabled"
    assert account["networkAcls"] == {"bypass": "None", "defaultAction": "Allow"}
