from __future__ import annotations

import json
import re

import pytest
from expansion import NAMES, ROOT, SETS, app_settings, one, properties, resources

from revoke_core.settings import DEFAULTS, SETTING_NAMES, read_settings

SITE = "Microsoft.Web/sites"
# Known to the platform or the host, not read by the app's own code.
PLATFORM = {
    "AzureWebJobsStorage__blobServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
FORBIDDEN = {
    *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_EXTENSION_VERSION"),
    *("SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_TIME_ZONE", "TZ"),
    *("WEBSITE_CONTENTSHARE", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT"),
}
# A site with one of these fails, in some regions only: https://github.com/microsoft/azure-pipelines-tasks/issues/21032,
# https://github.com/Azure/terraform-azurerm-avm-res-web-site/pull/345
REFUSED_IN_SITE_CONFIG = {
    *("alwaysOn", "ftpsState", "functionAppScaleLimit", "functionsRuntimeScaleMonitoringEnabled", "linuxFxVersion"),
    *("netFrameworkVersion", "preWarmedInstanceCount", "use32BitWorkerProcess", "windowsFxVersion"),
}
# Left to the platform, or another way to say what is set already.
NEVER_SET = {"AzureWebJobsStorage", "AzureWebJobsStorage__accountName", "WEBSITE_HOSTNAME", "WEBSITE_AUTH_ENABLED"}
# Of no app.
SECRET = "whsec_" + "A" * 32
every_set = pytest.mark.parametrize("name", SETS)


@every_set
def test_every_setting_is_known(name: str) -> None:
    """A misspelt setting would be silently without effect."""
    assert set(app_settings(name)) <= set(SETTING_NAMES) | PLATFORM


def test_every_setting_of_the_app_can_be_given() -> None:
    """Each setting that the code reads has a parameter that sets it."""
    given = set().union(*(app_settings(name) for name in SETS))
    assert given == (set(SETTING_NAMES) | PLATFORM) - NEVER_SET


@every_set
def test_nothing_is_set_that_flex_consumption_refuses(name: str) -> None:
    """These settings moved into the site's own configuration, or are about what this plan does not have."""
    assert not FORBIDDEN & set(app_settings(name))
    assert not REFUSED_IN_SITE_CONFIG & set(properties(name, SITE)["siteConfig"])


def test_what_is_not_given_keeps_the_default_of_the_code() -> None:
    """There is one place for a default: the app."""
    assert not set(DEFAULTS) & set(app_settings("default"))


@every_set
def test_the_app_starts_with_these_settings(name: str) -> None:
    """The code's own reader takes every value, once Azure has filled in what is known only there."""
    known = {setting: value for setting, value in app_settings(name).items() if not value.startswith("[")}
    filled = {setting: "https://x.contoso.com" for setting in app_settings(name) if setting.endswith("ServiceUri")}
    # What the platform puts in place of a reference that it could resolve.
    filled |= {setting: SECRET for setting, value in known.items() if value.startswith("@Microsoft.KeyVault(")}
    settings = read_settings(known | filled | {"WEBSITE_HOSTNAME": "x.azurewebsites.net"})
    assert settings.storage.managed_identity
    assert settings.storage.connection_string is None


def test_given_settings_arrive_as_meant() -> None:
    """Lists, numbers, switches and a zero reach the app as it reads them."""
    given = app_settings("everything")
    assert given["PROTECTED_USERS"] == "breakglass@contoso.com,44444444-4444-4444-8444-444444444444"
    assert given["PROTECTED_GROUP"] == "55555555-5555-4555-8555-555555555555"
    assert (given["MAX_USERS"], given["MAX_UNCONFIRMED_USERS"]) == ("50000", "0")
    switches = ("REQUIRE_REASON", "PROTECTION_STRICT")
    assert [given[name] for name in switches] == ["true"] * 2
    assert given["REVOKING_PAUSED"] == "refuse"
    assert (given["GRAPH_WRITES_PER_150S"], given["RETENTION_DAYS"], given["IN_CALL_SECONDS"]) == ("1500", "730", "30")
    assert given["CALLBACK_HOSTS"] == "hooks.contoso.com,prod-00.westeurope.logic.azure.com"
    assert given["PUBLIC_BASE_URL"] == "https://revoke.contoso.com"
    assert given["GRAPH_ENDPOINT"] == given["GRAPH_RESOURCE"] == "https://graph.microsoft.com"
    assert app_settings("without-grant")["GRAPH_ENDPOINT"] == "https://graph.microsoft.us"


def test_the_secret_of_callbacks_stays_in_its_vault() -> None:
    """The template holds its address; the platform reads it as the one identity that the app has."""
    vault = "https://contoso-vault.vault.azure.net/secrets/callback-secret"
    assert app_settings("everything")["CALLBACK_SECRET"] == f"@Microsoft.KeyVault(SecretUri={vault})"
    identity = one("everything", "Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    assert properties("everything", SITE)["keyVaultReferenceIdentity"] == identity
    assert not {"CALLBACK_HOSTS", "CALLBACK_SECRET"} & set(app_settings("default"))


@every_set
def test_storage_is_reached_as_the_identity(name: str) -> None:
    """Addresses and an identity instead of a connection string."""
    settings = app_settings(name)
    account = one(name, "Microsoft.Storage/storageAccounts")["name"]
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    for service in ("blob", "queue", "table"):
        uri = settings[f"AzureWebJobsStorage__{service}ServiceUri"]
        assert uri == f"[format('https://{{0}}.{service}.{{1}}', '{account}', environment().suffixes.storage)]"


@every_set
def test_every_client_id_is_the_one_of_the_identity(name: str) -> None:
    """Host, app and telemetry all act as the identity that has the roles."""
    settings = app_settings(name)
    identity = one(name, "Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    client_id = f"reference('{identity}', '2024-11-30').clientId"
    assert settings["AZURE_CLIENT_ID"] == settings["AzureWebJobsStorage__clientId"] == f"[{client_id}]"
    telemetry = settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    assert telemetry == f"[format('ClientId={{0}};Authorization=AAD', {client_id})]"


@pytest.mark.parametrize(("name", "wanted"), [(name, str(name == "private-entra").lower()) for name in SETS])
def test_the_app_knows_whether_callers_bring_entra_tokens(name: str, wanted: str) -> None:
    """The app trusts the platform's headers only where the platform writes them."""
    assert app_settings(name).get("ENTRA_AUTHENTICATION", "false") == wanted
    platform = properties(name, "Microsoft.Web/sites/config", "/authsettingsV2")
    assert str(platform["platform"]["enabled"]).lower() == wanted


@every_set
def test_the_plan_is_flex_consumption_on_linux(name: str) -> None:
    """The plan that scales to zero and can join a network."""
    plan = one(name, "Microsoft.Web/serverfarms")
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan["properties"]["reserved"] is True
    assert one(name, SITE)["kind"] == "functionapp,linux"
    assert properties(name, SITE)["serverFarmId"] == plan["id"]


@every_set
def test_python_is_the_version_of_the_project(name: str) -> None:
    """The version that the tests run with."""
    runtime = properties(name, SITE)["functionAppConfig"]["runtime"]
    assert runtime == {"name": "python", "version": (ROOT / ".python-version").read_text().strip()}


@every_set
def test_the_package_is_read_as_the_identity(name: str) -> None:
    """From the container that is declared, without a connection string."""
    storage = properties(name, SITE)["functionAppConfig"]["deployment"]["storage"]
    assert storage["type"] == "blobContainer"
    assert f"'{NAMES['packageContainer']}')" in storage["value"]
    assert one(name, "Microsoft.Storage/storageAccounts")["name"] in storage["value"]
    assert storage["authentication"] == {
        "type": "UserAssignedIdentity",
        "userAssignedIdentityResourceId": one(name, "Microsoft.ManagedIdentity/userAssignedIdentities")["id"],
    }
    container = one(name, "Microsoft.Storage/storageAccounts/blobServices/containers")
    assert container["name"].endswith(f"/{NAMES['packageContainer']}")


@every_set
def test_only_https_with_current_tls(name: str) -> None:
    """For callers and for deployment alike."""
    site = properties(name, SITE)
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == site["siteConfig"]["scmMinTlsVersion"] == "1.2"


@every_set
def test_there_is_no_way_in_by_password(name: str) -> None:
    """Basic authentication is off, for deployments and for the FTP that this plan does not have; so is debugging."""
    assert properties(name, SITE)["siteConfig"]["remoteDebuggingEnabled"] is False
    policies = resources(name, f"{SITE}/basicPublishingCredentialsPolicies")
    assert {policy["name"].split("/")[-1]: policy["properties"]["allow"] for policy in policies} == {
        "ftp": False,
        "scm": False,
    }


def test_the_configuration_of_the_site_is_changed_step_by_step() -> None:
    """Two changes at once are a conflict, in which one of them is lost."""
    source = (ROOT / "infra" / "modules" / "site.bicep").read_text()
    settings, authentication = re.split(r"resource authentication 'config'", source)
    assert "resource appSettings 'config'" in settings
    assert "dependsOn: [appSettings]" in authentication


@every_set
def test_no_web_page_may_call_it(name: str) -> None:
    """No cross-origin rule, so a browser runs no script against it."""
    assert "cors" not in properties(name, SITE)["siteConfig"]


def test_scale_and_concurrency_defaults() -> None:
    """Several HTTP calls per instance, for Python's own default is one; the least number of instances Azure allows."""
    scale = properties("default", SITE)["functionAppConfig"]["scaleAndConcurrency"]
    assert scale == {
        "alwaysReady": [],
        "instanceMemoryMB": 2048,
        "maximumInstanceCount": 40,
        "triggers": {"http": {"perInstanceConcurrency": 16}},
    }


def test_scale_and_concurrency_as_given() -> None:
    """What an operator asks for is what is deployed, warm instances too."""
    scale = properties("everything", SITE)["functionAppConfig"]["scaleAndConcurrency"]
    assert scale["maximumInstanceCount"] == 100
    assert scale["instanceMemoryMB"] == 4096
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": 32}}
    assert [ready["name"] for ready in scale["alwaysReady"]] == ["http", "function:on_request_message"]
    assert properties("everything", "Microsoft.Web/serverfarms")["zoneRedundant"] is True
    assert "def on_request_message(" in (ROOT / "function_app.py").read_text()


@every_set
def test_azd_finds_the_app_by_its_tags(name: str) -> None:
    """The site carries the name of the service in azure.yaml, everything the name of the environment."""
    site = one(name, SITE)["tags"]
    assert site["azd-service-name"] == "api"
    assert "\n  api:\n" in (ROOT / "azure.yaml").read_text()
    tagged = [resource["tags"] for resource in resources(name) if "tags" in resource]
    assert {tags["azd-env-name"] for tags in tagged} == {"contoso-prod" if name == "everything" else "revoker"}
    assert [tags for tags in tagged if "azd-service-name" in tags] == [site]


def test_given_tags_and_names_are_on_every_resource() -> None:
    """A platform team's conventions hold for all that can carry them."""
    tagged = [resource["tags"] for resource in resources("everything") if "tags" in resource]
    assert all(tags["costCentre"] == "4711" for tags in tagged)
    assert one("everything", SITE)["name"] == "contoso-revoker"
    assert one("everything", "Microsoft.Storage/storageAccounts")["name"] == "contosorevoker"
    assert one("everything", "Microsoft.Insights/components")["name"] == "contoso-revoker-appi"


@every_set
def test_names_keep_to_the_limits_of_azure(name: str) -> None:
    """Longer site names can share a host id, and a storage name is the strictest of all."""
    assert len(one(name, SITE)["name"]) <= 32
    storage = one(name, "Microsoft.Storage/storageAccounts")["name"]
    assert 3 <= len(storage) <= 24
    assert storage.isalnum()
    assert storage == storage.lower()


def test_the_longest_name_of_an_environment_fits() -> None:
    """18 characters leave room for what is put around them."""
    template = (ROOT / "infra" / "main.bicep").read_text()
    assert "@maxLength(18)\n" in template
    assert len("func-") + 18 + len("-") + 8 <= 32


def test_queue_options_fit_the_deployment() -> None:
    """What the host does is in host.json, and no app setting overrides it."""
    host = json.loads((ROOT / "host.json").read_text())
    assert host["extensions"]["queues"]["messageEncoding"] == "none"
    for name in SETS:
        assert not [setting for setting in app_settings(name) if setting.startswith("AzureFunctionsJobHost__")]
