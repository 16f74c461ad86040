"""Everything about the simulator that can be changed while it runs, with its JSON names."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

USER_ASSIGNED_CLIENT_ID = "c0ffee00-0000-4000-8000-000000000001"

Parser = Callable[[Any], Any]


class SettingsError(ValueError):
    """A configuration names an unknown field or gives it a value it cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSettings:
    """A write quota: `capacity` calls, `refill` per second or all of it every `window_seconds`."""

    model: str = "bucket"
    capacity: float = 3000
    refill: float = 20
    window_seconds: float = 150
    retry_after: float = 10


QUOTA_MODELS = {
    "bucket": QuotaSettings(model="bucket"),
    "rejectsCost": QuotaSettings(model="rejectsCost"),
    "window": QuotaSettings(model="window"),
    "hidden": QuotaSettings(model="hidden", capacity=500, refill=12),
    "empty": QuotaSettings(model="empty"),
    "none": QuotaSettings(model="none"),
}


@dataclass(slots=True, kw_only=True)
class Settings:
    """The configuration of one simulated tenant; `docs/simulator.md` explains each field."""

    latency_ms: float = 0
    lag_seconds: float = 0
    audit_lag_seconds: float = 0
    sign_in_lag_seconds: float = 0
    premium_license: bool = True
    clock_skew_seconds: float = 0
    time_scale: float = 1
    quota: QuotaSettings = QUOTA_MODELS["bucket"]
    resource_units_per10s: float = 8000
    reports_per10s: float = 5
    reports_or: str = "allow"
    retry_after_style: str = "integer"
    throttle_writes_until: float | None = None
    revoke_status: int = 200
    strict_revoke_permission: bool = False
    revoke_denied: str = "operation"
    admin_targets: str = "allow"
    dollar_upn: str = "refuse"
    upn_keys: str = "allow"
    security_identifier_filter: str = "default"
    proxy_address_case: str = "ignored"
    empty_pages: int = 0
    largest_page: int = 999
    page_token_life_seconds: float | None = None
    shuffle_seed: int | None = 1
    batch_failed_status: int = 200
    granted_roles: list[str] = field(default_factory=lambda: ["User.ReadWrite.All", "GroupMember.Read.All"])
    token_life_seconds: float = 86400
    freeze_tokens: bool = True
    client_ids: list[str] = field(default_factory=lambda: [USER_ASSIGNED_CLIENT_ID])

    def as_json(self) -> dict[str, Any]:
        """The configuration under its JSON names."""
        values = {_camel(name): value for name, value in asdict(self).items()}
        values["quota"] = {_camel(name): value for name, value in asdict(self.quota).items()}
        return values

    def update(self, values: Mapping[str, Any]) -> set[str]:
        """Take over the named fields; all of them or, on a SettingsError, none. Returns the attributes set."""
        accepted: dict[str, Any] = {}
        for name, value in values.items():
            if name == "quota":
                accepted["quota"] = _quota(self.quota, value)
                continue
            if name not in _PARSERS:
                known = ", ".join(sorted([*_PARSERS, "quota"]))
                raise SettingsError(f"unknown field '{name}'; known: {known}")
            try:
                accepted[_ATTRIBUTES[name]] = _PARSERS[name](value)
            except ValueError as error:
                raise SettingsError(f"field '{name}': {error}") from error
        for attribute, value in accepted.items():
            setattr(self, attribute, value)
        return set(accepted)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _number(low: float, *, exclusive: bool = False) -> Parser:
    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("must be a number")  # noqa: TRY004 - one error type for every wrong value
        if value < low or (exclusive and value == low):
            raise ValueError(f"must be {'above' if exclusive else 'at least'} {low}")
        return value

    return parse


def _integer(low: int) -> Parser:
    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"must be an integer of at least {low}")
        return value

    return parse


def _choice(*options: Any) -> Parser:
    def parse(value: Any) -> Any:
        if value not in options:
            raise ValueError(f"must be one of {', '.join(repr(option) for option in options)}")
        return value

    return parse


def _optional(parser: Parser) -> Parser:
    return lambda value: None if value is None else parser(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one error type for every wrong value
    return value


def _strings(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of strings")
    return list(value)


def _quota(present: QuotaSettings, value: Any) -> QuotaSettings:
    if not isinstance(value, Mapping):
        raise SettingsError("field 'quota': must be an object")
    model = value.get("model", present.model)
    if model not in QUOTA_MODELS:
        raise SettingsError(f"field 'quota.model': must be one of {', '.join(QUOTA_MODELS)}")
    # A named model brings its own figures; without one the current figures are adjusted.
    base = QUOTA_MODELS[model] if "model" in value else present
    figures = {_camel(item.name): item.name for item in fields(QuotaSettings) if item.name != "model"}
    changes: dict[str, Any] = {}
    for name, figure in value.items():
        if name == "model":
            continue
        if name not in figures:
            raise SettingsError(f"unknown field 'quota.{name}'; known: model, {', '.join(figures)}")
        try:
            changes[figures[name]] = _number(0)(figure)
        except ValueError as error:
            raise SettingsError(f"field 'quota.{name}': {error}") from error
    return replace(base, **changes)


_PARSERS: Mapping[str, Parser] = {
    "latencyMs": _number(0),
    "lagSeconds": _number(0),
    "auditLagSeconds": _number(0),
    "signInLagSeconds": _number(0),
    "premiumLicense": _flag,
    "clockSkewSeconds": _number(-86400),
    "timeScale": _number(0, exclusive=True),
    "resourceUnitsPer10s": _number(0),
    "reportsPer10s": _number(0),
    "reportsOr": _choice("allow", "refuse"),
    "retryAfterStyle": _choice("integer", "fractional", "date", "absent"),
    "throttleWritesUntil": _optional(_number(0)),
    "revokeStatus": _choice(200, 204),
    "strictRevokePermission": _flag,
    "revokeDenied": _choice("operation", "generic"),
    "adminTargets": _choice("allow", "refuse"),
    "dollarUpn": _choice("refuse", "allowEncoded"),
    "upnKeys": _choice("allow", "refuse"),
    "securityIdentifierFilter": _choice("default", "advanced", "refuse"),
    "proxyAddressCase": _choice("ignored", "exact"),
    "emptyPages": _integer(0),
    "largestPage": _integer(1),
    "pageTokenLifeSeconds": _optional(_number(0)),
    "shuffleSeed": _optional(_integer(0)),
    "batchFailedStatus": _choice(200, 424),
    "grantedRoles": _strings,
    "tokenLifeSeconds": _number(0, exclusive=True),
    "freezeTokens": _flag,
    "clientIds": _strings,
}
_ATTRIBUTES: Mapping[str, str] = {_camel(item.name): item.name for item in fields(Settings)}
