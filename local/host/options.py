"""What the host takes from ``host.json`` and the environment, with the official host's defaults."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local.host.runtime import AppFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

_PLACEHOLDER: Final = re.compile(r"%([^%]+)%")
_TIME_SPAN: Final = re.compile(r"(?:(\d+)\.)?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_LARGEST_BODY: Final = 104_857_600


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """``host.json`` as far as this host honours it; times in seconds, sizes in bytes."""

    route_prefix: str = "api"
    largest_body: int = _LARGEST_BODY
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    failed_visibility: float = 0.0
    longest_idle: float = 2.0
    base64: bool = True
    visibility: float = 600.0
    timeout: float | None = 1800.0
    drain: float = 30.0


def read_options(folder: Path, environment: Mapping[str, str]) -> HostOptions:
    """The options of the app in ``folder``.

    ``LOCAL_QUEUE_VISIBILITY_SECONDS`` shortens the lock and ``LOCAL_DRAIN_SECONDS`` a stop, for tests.
    """
    path = folder / "host.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8-sig")) if path.exists() else {}
        extensions: dict[str, Any] = content.get("extensions", {})
        queues: dict[str, Any] = extensions.get("queues", {})
        batch = int(queues.get("batchSize", 16))
        limit = str(content.get("functionTimeout", "00:30:00"))
        return HostOptions(
            route_prefix=str(extensions.get("http", {}).get("routePrefix", "api")).strip("/"),
            largest_body=int(environment.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", _LARGEST_BODY)),
            batch_size=batch,
            new_batch_threshold=int(queues.get("newBatchThreshold", (batch // 2) * (os.cpu_count() or 1))),
            max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
            failed_visibility=seconds(queues.get("visibilityTimeout", "00:00:00")),
            longest_idle=max(0.1, seconds(queues.get("maxPollingInterval", "00:00:02"))),
            base64=str(queues.get("messageEncoding", "base64")).lower() != "none",
            visibility=max(1.0, float(environment.get("LOCAL_QUEUE_VISIBILITY_SECONDS", 600))),
            drain=max(0.0, float(environment.get("LOCAL_DRAIN_SECONDS", 30))),
            timeout=None if limit == "-1" else seconds(limit),
        )
    except ValueError as problem:
        raise AppFailedError(f"host.json or its overriding settings: {problem}") from problem


def seconds(timespan: str) -> float:
    """A .NET time span ``[d.]hh:mm:ss[.fff]`` in seconds; ``ValueError`` for anything else."""
    match = _TIME_SPAN.fullmatch(timespan)
    if match is None:
        raise ValueError(f"{timespan!r} is not a time span such as 00:00:30")
    days, hours, minutes, secs = match.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(secs)


def filled(text: str, environment: Mapping[str, str]) -> str:
    """``%NAME%`` replaced by the setting of that name; ``AppFailedError`` names one that is missing."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise AppFailedError(f"{text!r} names the setting {match[1]}, which is not set.")
        return environment[match[1]]

    return _PLACEHOLDER.sub(value, text)


def use_local_settings(folder: Path, environment: MutableMapping[str, str]) -> None:
    """Take ``Values`` of ``local.settings.json`` as defaults for variables that are not set."""
    path = folder / "local.settings.json"
    if path.exists():
        for name, value in json.loads(path.read_text("utf-8-sig")).get("Values", {}).items():
            environment.setdefault(name, str(value))
