"""What the host takes from ``host.json`` and the environment, with the official host's defaults."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PLACEHOLDER: Final = re.compile(r"%([^%]+)%")
_TIME_SPAN: Final = re.compile(r"(?:(\d+)\.)?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_VISIBILITY_SECONDS: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """``host.json`` as far as this host honours it; times in seconds."""

    route_prefix: str = "api"
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    failed_visibility: float = 0.0
    longest_idle: float = 2.0
    base64: bool = True
    visibility: float = _VISIBILITY_SECONDS


def read_options(folder: Path, environment: Mapping[str, str]) -> HostOptions:
    """The options of the app in ``folder``; ``LOCAL_QUEUE_VISIBILITY_SECONDS`` shortens the lock for tests."""
    path = folder / "host.json"
    extensions: dict[str, Any] = json.loads(path.read_text()).get("extensions", {}) if path.exists() else {}
    queues: dict[str, Any] = extensions.get("queues", {})
    batch = int(queues.get("batchSize", 16))
    longest = seconds(queues["maxPollingInterval"]) if "maxPollingInterval" in queues else 2.0
    return HostOptions(
        route_prefix=str(extensions.get("http", {}).get("routePrefix", "api")).strip("/"),
        batch_size=batch,
        new_batch_threshold=int(queues.get("newBatchThreshold", (batch // 2) * (os.cpu_count() or 1))),
        max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
        failed_visibility=seconds(queues.get("visibilityTimeout", "00:00:00")),
        longest_idle=min(longest, 2.0),
        base64=queues.get("messageEncoding", "base64") != "none",
        visibility=float(environment.get("LOCAL_QUEUE_VISIBILITY_SECONDS", _VISIBILITY_SECONDS)),
    )


def seconds(timespan: str) -> float:
    """A .NET time span ``[d.]hh:mm:ss[.fff]`` in seconds."""
    match = _TIME_SPAN.fullmatch(timespan)
    if match is None:
        raise ValueError(f"{timespan!r} is not a time span such as 00:00:30")
    days, hours, minutes, secs = match.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(secs)


def filled(text: str, environment: Mapping[str, str]) -> str:
    """``%NAME%`` replaced by the setting of that name; ``KeyError`` names one that is missing."""
    return _PLACEHOLDER.sub(lambda match: environment[match[1]], text)


def use_local_settings(folder: Path) -> None:
    """Take ``Values`` of ``local.settings.json`` as defaults for variables that are not set."""
    path = folder / "local.settings.json"
    if path.exists():
        for name, value in json.loads(path.read_text()).get("Values", {}).items():
            os.environ.setdefault(name, str(value))
