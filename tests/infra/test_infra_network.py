from __future__ import annotations

from ipaddress import ip_network

import pytest
from expansion import one, properties, resources

SITE = "Microsoft.Web/sites"
ENDPOINT = "Microsoft.Network/privateEndpoints"
ZONE = "Microsoft.Network/privateDnsZones"
PRIVATE = ("private-entra", "without-grant")
PUBLIC = ("default", "least-privilege", "everything", "main")


def subnets(name: str) -> dict[str, dict[str, object]]:
    found = properties(name, "Microsoft.Network/virtualNetworks")["subnets"]
    return {subnet["name"]: subnet["properties"] for subnet in found}


@pytest.mark.parametrize("name", PUBLIC)
def test_no_network_is_made_unasked(name: str) -> None:
    """Nothing to pay for and nothing to plan, where storage and app are public to those who may."""
    assert not [each for each in resources(name) if each["type"].startswith("Microsoft.Network/")]
    assert properties(name, SITE).get("virtualNetworkSubnetId") is None


@pytest.mark.parametrize("name", PRIVATE)
def test_the_app_joins_the_network(name: str) -> None:
    """Through a subnet that is handed to the platform of Flex Consumption."""
    network = one(name, "Microsoft.Network/virtualNetworks")
    assert properties(name, SITE)["virtualNetworkSubnetId"] == f"{network['id']}/subnets/app"
    (delegation,) = subnets(name)["app"]["delegations"]  # type: ignore[misc] -- tests read parsed JSON
    assert delegation["properties"] == {"serviceName": "Microsoft.App/environments"}


@pytest.mark.parametrize("name", PRIVATE)
def test_the_subnets_lie_apart_inside_the_network(name: str) -> None:
    """The app's has an address for each of its instances."""
    whole = ip_network(properties(name, "Microsoft.Network/virtualNetworks")["addressSpace"]["addressPrefixes"][0])
    app, endpoints = (ip_network(str(subnets(name)[part]["addressPrefix"])) for part in ("app", "endpoints"))
    assert app.subnet_of(whole)  # type: ignore[arg-type] -- both are of the same version
    assert endpoints.subnet_of(whole)  # type: ignore[arg-type] -- as above
    assert not app.overlaps(endpoints)
    assert app.num_addresses >= 40 + 5


@pytest.mark.parametrize("name", PRIVATE)
def test_every_subnet_has_a_security_group(name: str) -> None:
    """Without rules of its own, so that the default ones hold: nothing in from the Internet."""
    group = one(name, "Microsoft.Network/networkSecurityGroups")
    assert not group.get("properties", {}).get("securityRules")
    assert all(subnet["networkSecurityGroup"] == {"id": group["id"]} for subnet in subnets(name).values())


@pytest.mark.parametrize("name", PRIVATE)
def test_each_storage_service_has_its_private_endpoint(name: str) -> None:
    """Blob, queue and table: one that is missing would stop the host."""
    account = one(name, "Microsoft.Storage/storageAccounts")["id"]
    connections = [endpoint["properties"]["privateLinkServiceConnections"] for endpoint in resources(name, ENDPOINT)]
    groups = [
        each["properties"]["groupIds"]
        for (each,) in connections
        if each["properties"]["privateLinkServiceId"] == account
    ]
    assert sorted(groups) == [["blob"], ["queue"], ["table"]]


@pytest.mark.parametrize("name", PRIVATE)
def test_endpoints_lie_in_their_subnet(name: str) -> None:
    """Not in the one that belongs to the platform."""
    network = one(name, "Microsoft.Network/virtualNetworks")["id"]
    for endpoint in resources(name, ENDPOINT):
        assert endpoint["properties"]["subnet"] == {"id": f"{network}/subnets/endpoints"}


@pytest.mark.parametrize("name", PRIVATE)
def test_each_endpoint_has_a_linked_zone(name: str) -> None:
    """Inside the network the usual names lead to private addresses."""
    endpoints = len(resources(name, ENDPOINT))
    zones = resources(name, ZONE)
    assert len(zones) == endpoints
    assert len({zone["name"] for zone in zones}) == endpoints
    links = resources(name, f"{ZONE}/virtualNetworkLinks")
    network = one(name, "Microsoft.Network/virtualNetworks")["id"]
    # With registration, every machine of the network would write its own name into these zones.
    wanted = {"registrationEnabled": False, "virtualNetwork": {"id": network}}
    assert [link["properties"] for link in links] == [wanted] * endpoints
    assert len(resources(name, f"{ENDPOINT}/privateDnsZoneGroups")) == endpoints


def test_a_private_site_answers_only_inside() -> None:
    """Its public address is off, and it has an endpoint of its own."""
    site = one("private-entra", SITE)
    assert site["properties"]["publicNetworkAccess"] == "Disabled"
    targets = [
        endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceId"]
        for endpoint in resources("private-entra", ENDPOINT)
    ]
    assert site["id"] in targets
    assert one("private-entra", ZONE, "azurewebsites.net")


def test_a_platform_teams_network_is_used_as_it_is() -> None:
    """App and endpoints go to the given subnets; no network, no zone and no security group is made beside them."""
    made = {each["type"] for each in resources("own-network") if each["type"].startswith("Microsoft.Network/")}
    assert made == {ENDPOINT}
    assert properties("own-network", SITE)["virtualNetworkSubnetId"].endswith("/virtualNetworks/spoke/subnets/revoker")
    endpoints = resources("own-network", ENDPOINT)
    assert len(endpoints) == 4
    assert {each["properties"]["subnet"]["id"].split("/")[-1] for each in endpoints} == {"endpoints"}


def test_private_storage_leaves_the_site_public() -> None:
    """Logic Apps without a network of their own can still call it."""
    assert properties("without-grant", SITE)["publicNetworkAccess"] == "Enabled"
    assert len(resources("without-grant", ENDPOINT)) == 3


def test_everybody_is_turned_away_who_is_not_allowed() -> None:
    """Address ranges and service tags become rules; the rest is denied, at the deployment's door, too."""
    config = properties("everything", SITE)["siteConfig"]
    assert [(rule["ipAddress"], rule["tag"], rule["action"]) for rule in config["ipSecurityRestrictions"]] == [
        ("203.0.113.0/24", "Default", "Allow"),
        ("LogicApps", "ServiceTag", "Allow"),
    ]
    assert config["ipSecurityRestrictionsDefaultAction"] == "Deny"
    assert config["scmIpSecurityRestrictionsUseMain"] is True


def test_without_a_list_nobody_is_turned_away_by_address() -> None:
    """Keys and roles decide."""
    config = properties("default", SITE)["siteConfig"]
    assert config["ipSecurityRestrictions"] == []
    assert config["ipSecurityRestrictionsDefaultAction"] == "Allow"
