"""The storage calls of the app, from the SDK's own log."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGGER: Final = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")


class StorageLog(logging.Handler):
    """The methods of the requests whose text has ``part`` in it."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.methods: list[str] = []
        self._part = part

    @property
    def count(self) -> int:
        """How many requests that were."""
        return len(self.methods)

    def forget(self) -> None:
        """Drop what was recorded."""
        self.methods.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """One more, if the record is such a request's."""
        text = record.getMessage()
        if text.startswith("Request URL") and self._part in text:
            self.methods.append(text.partition("Request method: ")[2].partition("\n")[0].strip("'"))


@contextmanager
def storage_log(part: str = "") -> Iterator[StorageLog]:
    """Record while the context lasts."""
    handler, level = StorageLog(part), _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)
