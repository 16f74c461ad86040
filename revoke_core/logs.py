"""Structured log lines: a constant event name, then its fields as JSON.

No user name, key, token or URL is ever a field: a request is named by its id, users by their count.
"""

from __future__ import annotations

import json
import logging
from typing import Final

_LOGGER: Final = logging.getLogger("revoker")
# These write request URLs (with user names in them) or token traffic at INFO.
_CHATTY: Final = (
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.identity",
    "httpx",
    "httpcore",
    "msal",
    "urllib3",
)


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event; field values are numbers, booleans, ids and codes."""
    if _LOGGER.isEnabledFor(level):
        _LOGGER.log(level, "%s %s", name, json.dumps(fields, default=str, sort_keys=True))


def failure(name: str, problem: BaseException, **fields: object) -> None:
    """Write an event for an exception: its class only, because its text may quote a URL or a name."""
    event(name, level=logging.WARNING, error=type(problem).__name__, **fields)


def quiet_libraries() -> None:
    """Keep the HTTP client libraries from logging URLs and tokens."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
