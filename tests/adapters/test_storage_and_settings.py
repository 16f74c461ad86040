import pytest
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from revoke_core.adapters.storage import REQUESTS_TABLE, WORK_QUEUE, Storage
from revoke_core.domain.errors import SettingsError
from revoke_core.settings import read_settings

IDENTITY = {
    "AzureWebJobsStorage__accountName": "contosorevoker",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__clientId": "11111111-2222-4333-8444-555555555555",
}
CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
    "QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;TableEndpoint=http://127.0.0.1:2/devstoreaccount1"
)


async def test_the_identity_form_builds_clients_with_the_managed_identity() -> None:
    """No secret: endpoints from the account's name, tokens from the user-assigned identity."""
    storage = Storage(settings=read_settings(IDENTITY).storage)
    table, queue = storage.table(REQUESTS_TABLE), storage.queue(WORK_QUEUE)
    assert table.url == "https://contosorevoker.table.core.windows.net"
    assert queue.url == f"https://contosorevoker.queue.core.windows.net/{WORK_QUEUE}"
    assert isinstance(storage._identity, ManagedIdentityCredential)
    await storage.close()


async def test_without_a_credential_setting_a_developers_own_sign_in_serves() -> None:
    """As in the Functions host: the default Azure credential, at the endpoints given."""
    environment = {
        "AzureWebJobsStorage__tableServiceUri": "https://t.example.com",
        "AzureWebJobsStorage__queueServiceUri": "https://q.example.com",
    }
    storage = Storage(settings=read_settings(environment).storage)
    assert storage.table(REQUESTS_TABLE).url == "https://t.example.com"
    assert storage.queue(WORK_QUEUE).url == f"https://q.example.com/{WORK_QUEUE}"
    assert isinstance(storage._identity, DefaultAzureCredential)
    await storage.close()


async def test_a_connection_string_wins_over_the_identity_form() -> None:
    """The order of the Functions host."""
    storage = Storage(settings=read_settings(IDENTITY | {"AzureWebJobsStorage": CONNECTION}).storage)
    assert storage.table(REQUESTS_TABLE).url.startswith("http://127.0.0.1:2/")
    assert storage.queue(WORK_QUEUE).url.startswith("http://127.0.0.1:1/")
    assert storage._identity is None
    await storage.close()


def test_every_wrong_setting_is_named_at_once_and_no_secret_is_quoted() -> None:
    """A wrong value stops the app at its start with everything to correct."""
    wrong = {
        "MAX_USERS": "many",
        "REQUIRE_REASON": "maybe",
        "ENTRA_AUTHENTICATION": "required",
        "GRAPH_ENDPOINT": "http://graph.example.com",
        "PROTECTED_USERS": "breakglass",
        "PROTECTED_GROUP": "admins",
        "PUBLIC_BASE_URL": "revoker",
        "IN_CALL_SECONDS": "0",
    }
    with pytest.raises(SettingsError) as refused:
        read_settings(wrong)
    assert all(name in str(refused.value) for name in (*wrong, "AzureWebJobsStorage"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAPH_ENDPOINT", "https://graph.microsoft.com.evil.example"),
        ("GRAPH_ENDPOINT", "https://graph.example.com"),
        ("GRAPH_ENDPOINT", "https://graph.microsoft.com@evil.example"),
        ("GRAPH_ENDPOINT", "https://graph.microsoft.com/x"),
        ("GRAPH_ENDPOINT", "http://graph.microsoft.com"),
        ("GRAPH_ENDPOINT", "http://127.0.0.1.evil.example"),
        ("GRAPH_ENDPOINT", "http://user@127.0.0.1:7081"),
        ("GRAPH_ENDPOINT", "http://127.0.0.1:99999"),
        ("GRAPH_ENDPOINT", "http://["),
        ("GRAPH_RESOURCE", "https://management.azure.com"),
        ("PUBLIC_BASE_URL", "http://revoke.contoso.com"),
        ("PUBLIC_BASE_URL", "ftp://127.0.0.1"),
        ("PUBLIC_BASE_URL", "https://user@revoke.contoso.com"),
        ("PUBLIC_BASE_URL", "https://revoke.contoso.com?x=1"),
        ("PUBLIC_BASE_URL", "https://"),
    ],
)
def test_tokens_and_links_go_nowhere_else(name: str, value: str) -> None:
    """The app's token is shown to Graph's own clouds alone, and links travel encrypted, except on this machine."""
    with pytest.raises(SettingsError, match=name):
        read_settings({"AzureWebJobsStorage": CONNECTION, name: value})


def test_an_empty_value_counts_as_unset() -> None:
    """Deployment tools write empty values for options that were not given."""
    settings = read_settings({"AzureWebJobsStorage": CONNECTION, "MAX_USERS": "", "GRAPH_ENDPOINT": ""})
    assert (settings.max_users, settings.graph_endpoint) == (100_000, "https://graph.microsoft.com")


@pytest.mark.parametrize(
    ("endpoint", "resource"),
    [
        ("https://graph.microsoft.us", "https://graph.microsoft.us"),
        ("http://127.0.0.1:7081", "https://graph.microsoft.com"),
        ("http://localhost:7081", "https://graph.microsoft.com"),
        ("https://graph.microsoft.com/", "https://graph.microsoft.com"),
    ],
)
def test_the_audience_follows_the_cloud(endpoint: str, resource: str) -> None:
    """A national cloud is its own audience; the simulator takes the public one's."""
    settings = read_settings({"AzureWebJobsStorage": CONNECTION, "GRAPH_ENDPOINT": endpoint})
    assert settings.graph_resource == resource


@pytest.mark.parametrize(
    ("environment", "base"),
    [
        ({"WEBSITE_HOSTNAME": "x.azurewebsites.net"}, "https://x.azurewebsites.net"),
        ({"WEBSITE_HOSTNAME": "127.0.0.1:7071"}, "http://127.0.0.1:7071"),
        ({"PUBLIC_BASE_URL": "https://revoke.contoso.com/"}, "https://revoke.contoso.com"),
        ({"PUBLIC_BASE_URL": "https://gateway.contoso.com/revoker"}, "https://gateway.contoso.com/revoker"),
        ({"PUBLIC_BASE_URL": "http://[::1]:7071"}, "http://[::1]:7071"),
    ],
)
def test_links_are_built_from_the_apps_own_address(environment: dict[str, str], base: str) -> None:
    """The gateway's address where it is given, else the platform's name for the app."""
    assert read_settings({"AzureWebJobsStorage": CONNECTION} | environment).public_base_url == base


SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CALLBACK_HOSTS": "hooks.contoso.com"}, "CALLBACK_SECRET is missing"),
        ({"CALLBACK_SECRET": SECRET}, "CALLBACK_HOSTS is missing"),
        ({"CALLBACK_HOSTS": "https://hooks.contoso.com", "CALLBACK_SECRET": SECRET}, "exact host name"),
        ({"CALLBACK_HOSTS": "*.contoso.com", "CALLBACK_SECRET": SECRET}, "exact host name"),
        ({"CALLBACK_HOSTS": "x.contoso.com", "CALLBACK_SECRET": SECRET[6:]}, "whsec_ and the base64"),
        ({"CALLBACK_HOSTS": "x.contoso.com", "CALLBACK_SECRET": "whsec_QUJD"}, "whsec_ and the base64"),
        (
            {
                "CALLBACK_HOSTS": "x.contoso.com",
                "CALLBACK_SECRET": "@Microsoft.KeyVault(SecretUri=https://v/secrets/s)",
            },
            "Key Vault Secrets User",
        ),
    ],
)
def test_callbacks_need_both_settings_and_good_ones(environment: dict[str, str], words: str) -> None:
    """Half of it would look as if callbacks were on; the secret itself is never quoted."""
    with pytest.raises(SettingsError, match=words) as refused:
        read_settings({"AzureWebJobsStorage": CONNECTION} | environment)
    assert SECRET[6:] not in str(refused.value)
    assert "QUJD" not in str(refused.value)


def test_callbacks_are_off_unless_both_are_there() -> None:
    """And where they are on, nothing that prints the settings prints the secret."""
    assert not read_settings({"AzureWebJobsStorage": CONNECTION}).callbacks.hosts
    given = {"CALLBACK_HOSTS": "Hooks.contoso.com, [::1] ,localhost", "CALLBACK_SECRET": SECRET}
    rules = read_settings({"AzureWebJobsStorage": CONNECTION} | given).callbacks
    assert rules.hosts == {"hooks.contoso.com", "::1", "localhost"}
    assert rules.secret == b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
    assert "ABCDEF" not in repr(rules)
