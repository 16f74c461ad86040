"""Every setting of the app, read once from the environment and checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from revoke_core.domain.callback import CallbackRules, parse_host, parse_secret
from revoke_core.domain.errors import SettingsError
from revoke_core.domain.identifiers import UserRef, is_object_id, parse_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STORAGE: Final = "AzureWebJobsStorage"
STORAGE_PARTS: Final = ("accountName", "tableServiceUri", "queueServiceUri", "clientId", "credential")
GRAPH_CLOUDS: Final = (
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
)
_CLOUDS: Final = "a Microsoft Graph cloud (" + ", ".join(GRAPH_CLOUDS) + ")"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
_REFUSE: Final = "refuse"
# What a setting holds whose Key Vault reference the platform could not resolve.
_KEY_VAULT: Final = "@microsoft.keyvault("


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """Where the storage is, as the Functions host reads it: a connection string, or the identity form."""

    connection_string: str | None = None
    table_uri: str | None = None
    queue_uri: str | None = None
    client_id: str | None = None
    managed_identity: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The app's settings; ``docs/settings.md`` explains each."""

    storage: StorageSettings
    graph_endpoint: str
    graph_resource: str
    client_id: str | None
    protected_users: tuple[UserRef, ...]
    protected_group: str | None
    protection_strict: bool
    max_users: int
    max_unconfirmed_users: int
    max_open_requests_per_caller: int
    require_reason: bool
    graph_writes_per_150s: int
    retention_days: int
    revoking_paused: bool
    requests_refused: bool
    evidence: bool
    public_base_url: str
    in_call_limit: timedelta
    entra_authentication: bool
    authentication_in_front: bool
    callbacks: CallbackRules


SETTING_NAMES: Final = (
    STORAGE,
    *(f"{STORAGE}__{part}" for part in STORAGE_PARTS),
    "GRAPH_ENDPOINT",
    "GRAPH_RESOURCE",
    "AZURE_CLIENT_ID",
    "PROTECTED_USERS",
    "PROTECTED_GROUP",
    "PROTECTION_STRICT",
    "MAX_USERS",
    "MAX_UNCONFIRMED_USERS",
    "MAX_OPEN_REQUESTS_PER_CALLER",
    "REQUIRE_REASON",
    "GRAPH_WRITES_PER_150S",
    "RETENTION_DAYS",
    "REVOKING_PAUSED",
    "EVIDENCE",
    "PUBLIC_BASE_URL",
    "WEBSITE_HOSTNAME",
    "IN_CALL_SECONDS",
    "CALLBACK_HOSTS",
    "CALLBACK_SECRET",
    "ENTRA_AUTHENTICATION",
    "WEBSITE_AUTH_ENABLED",
)
DEFAULTS: Final[Mapping[str, str]] = {
    "GRAPH_ENDPOINT": GRAPH_CLOUDS[0],
    "PROTECTION_STRICT": "false",
    "MAX_USERS": "100000",
    "MAX_UNCONFIRMED_USERS": "100",
    "MAX_OPEN_REQUESTS_PER_CALLER": "1000",
    "REQUIRE_REASON": "false",
    "GRAPH_WRITES_PER_150S": "3000",
    "RETENTION_DAYS": "400",
    "REVOKING_PAUSED": "false",
    "EVIDENCE": "false",
    "WEBSITE_HOSTNAME": "localhost:7071",
    "IN_CALL_SECONDS": "20",
    "ENTRA_AUTHENTICATION": "false",
}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings, or ``SettingsError`` naming everything that is missing or wrong.

    An empty value counts as unset: deployment tools write one for an option that was not given.
    """
    reader = _SettingsReader(environment)
    endpoint = reader.graph_endpoint()
    pause = reader.choice("REVOKING_PAUSED", (*_TRUE, *_FALSE, _REFUSE), "true, false or refuse")
    settings = Settings(
        storage=reader.storage(),
        graph_endpoint=endpoint,
        graph_resource=reader.graph_resource(endpoint),
        client_id=reader.text("AZURE_CLIENT_ID"),
        protected_users=reader.users("PROTECTED_USERS"),
        protected_group=reader.object_id("PROTECTED_GROUP"),
        protection_strict=reader.flag("PROTECTION_STRICT"),
        max_users=reader.number("MAX_USERS", 1, 1_000_000),
        max_open_requests_per_caller=reader.number("MAX_OPEN_REQUESTS_PER_CALLER", 1, 1_000_000),
        max_unconfirmed_users=reader.number("MAX_UNCONFIRMED_USERS", 0, 1_000_000),
        require_reason=reader.flag("REQUIRE_REASON"),
        graph_writes_per_150s=reader.number("GRAPH_WRITES_PER_150S", 1, 1_000_000),
        retention_days=reader.number("RETENTION_DAYS", 1, 36_500),
        revoking_paused=pause in (*_TRUE, _REFUSE),
        requests_refused=pause == _REFUSE,
        evidence=reader.flag("EVIDENCE"),
        public_base_url=reader.public_base_url(),
        in_call_limit=timedelta(seconds=reader.number("IN_CALL_SECONDS", 1, 100)),
        entra_authentication=reader.flag("ENTRA_AUTHENTICATION"),
        # Set by the platform, not the operator: anything but "true" means off, and never stops the app.
        authentication_in_front=(reader.text("WEBSITE_AUTH_ENABLED") or "").lower() == "true",
        callbacks=reader.callbacks(),
    )
    if reader.faults:
        raise SettingsError("The app's settings need correcting: " + "; ".join(reader.faults) + ".")
    return settings


class _SettingsReader:
    """Reads settings one by one and collects what is wrong; no value of a secret setting is ever quoted."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def text(self, name: str) -> str | None:
        return (self._environment.get(name) or "").strip() or DEFAULTS.get(name)

    def _checked[T](self, name: str, wanted: str, convert: Callable[[str], T | None]) -> T | None:
        value = self.text(name)
        if value is None:
            return None
        converted = convert(value)
        if converted is None:
            self.faults.append(f"{name} must be {wanted}, not {value!r}")
        return converted

    def number(self, name: str, least: int, most: int) -> int:
        def convert(value: str) -> int | None:
            return int(value) if value.isascii() and value.isdigit() and least <= int(value) <= most else None

        return self._checked(name, f"a whole number from {least} to {most}", convert) or 0

    def flag(self, name: str) -> bool:
        known: dict[str, bool] = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
        return bool(self._checked(name, "true or false", lambda value: known.get(value.lower())))

    def choice(self, name: str, choices: tuple[str, ...], wanted: str) -> str | None:
        return self._checked(name, wanted, lambda value: value.lower() if value.lower() in choices else None)

    def object_id(self, name: str) -> str | None:
        return self._checked(name, "the object id of a group", lambda v: v.lower() if is_object_id(v) else None)

    def users(self, name: str) -> tuple[UserRef, ...]:
        texts = [part for part in (self.text(name) or "").replace(";", ",").split(",") if part.strip()]
        found = [parse_user(part) for part in texts]
        for text, user in zip(texts, found, strict=True):
            if user is None:
                self.faults.append(f"{name} has {text.strip()!r}, which is neither an object id nor a UPN")
        return tuple(user for user in found if user)

    def graph_endpoint(self) -> str:
        """One of Graph's clouds, or the simulator on this machine: the app's token goes nowhere else."""

        def convert(value: str) -> str | None:
            root = value.rstrip("/").lower()
            parts = _split(root)
            if root in GRAPH_CLOUDS:
                return root
            is_root = parts is not None and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
            return root if parts and is_root and _is_on_this_machine(parts) else None

        return self._checked("GRAPH_ENDPOINT", f"{_CLOUDS}, or a root on this machine", convert) or ""

    def graph_resource(self, endpoint: str) -> str:
        """The audience of the token: a token for anything but Graph is not asked for, as Graph would be shown it."""

        def convert(value: str) -> str | None:
            root = value.rstrip("/").lower()
            return root if root in GRAPH_CLOUDS else None

        given = self._checked("GRAPH_RESOURCE", _CLOUDS, convert)
        return given or (endpoint if endpoint in GRAPH_CLOUDS else GRAPH_CLOUDS[0])

    def public_base_url(self) -> str:
        """Signed links and function keys travel to it, so it is https except on this machine."""

        def convert(value: str) -> str | None:
            parts = _split(value)
            is_plain = parts is not None and not (parts.query or parts.fragment or "@" in parts.netloc)
            is_safe = parts is not None and (parts.scheme == "https" or _is_on_this_machine(parts))
            return value.rstrip("/") if parts and parts.hostname and is_plain and is_safe else None

        wanted = "an https:// address without /api (http:// only on this machine)"
        given = self._checked("PUBLIC_BASE_URL", wanted, convert)
        if given:
            return given
        host = self.text("WEBSITE_HOSTNAME") or ""
        scheme = "http" if urlsplit(f"//{host}").hostname in _LOOPBACK else "https"
        return f"{scheme}://{host}"

    def callbacks(self) -> CallbackRules:
        """Both settings or neither: what is posted without a signature could be anybody's."""
        hosts, secret = self._callback_hosts("CALLBACK_HOSTS"), self._callback_secret("CALLBACK_SECRET")
        for given, missing in (("CALLBACK_HOSTS", "CALLBACK_SECRET"), ("CALLBACK_SECRET", "CALLBACK_HOSTS")):
            if self.text(given) and not self.text(missing):
                self.faults.append(
                    f"{missing} is missing: callbacks need it beside {given}; unset both to turn them off"
                )
        return CallbackRules(hosts=hosts, secret=secret)

    def _callback_hosts(self, name: str) -> frozenset[str]:
        texts = [part.strip() for part in (self.text(name) or "").split(",") if part.strip()]
        found = [parse_host(text) for text in texts]
        for text, host in zip(texts, found, strict=True):
            if host is None:
                self.faults.append(
                    f"{name} has {text!r}, which is not an exact host name such as hooks.contoso.com: give no scheme, "
                    "port, path or wildcard, and an international name as xn--…"
                )
        return frozenset(host for host in found if host)

    def _callback_secret(self, name: str) -> bytes:
        value = self.text(name) or ""
        secret = parse_secret(value)
        if value.lower().startswith(_KEY_VAULT):
            self.faults.append(
                f"{name} is a Key Vault reference that the platform has not resolved: give the app's identity the role "
                "Key Vault Secrets User on the vault, check the secret's address, then restart the app"
            )
        elif value and secret is None:
            self.faults.append(f"{name} must be whsec_ and the base64 of 24 to 64 random bytes")
        return secret or b""

    def storage(self) -> StorageSettings:
        whole = self.text(STORAGE)
        if whole:
            return StorageSettings(connection_string=whole)
        part: dict[str, str | None] = {name: self.text(f"{STORAGE}__{name}") for name in STORAGE_PARTS}
        account = part["accountName"]
        table = part["tableServiceUri"] or (f"https://{account}.table.core.windows.net" if account else None)
        queue = part["queueServiceUri"] or (f"https://{account}.queue.core.windows.net" if account else None)
        if not table or not queue:
            self.faults.append(
                f"{STORAGE} is missing: give a connection string, or {STORAGE}__accountName, or both "
                f"{STORAGE}__tableServiceUri and {STORAGE}__queueServiceUri"
            )
        credential = (part["credential"] or "").lower()
        if credential not in ("", "managedidentity"):
            self.faults.append(f"{STORAGE}__credential must be managedidentity, or left out")
        return StorageSettings(
            table_uri=table,
            queue_uri=queue,
            client_id=part["clientId"],
            managed_identity=credential == "managedidentity",
        )


def _split(value: str) -> SplitResult | None:
    """The parts of a URL; ``None`` for what cannot be one."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_on_this_machine(parts: SplitResult) -> bool:
    return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK
