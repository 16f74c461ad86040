"""Log lines on standard error: every line has its time, level, logger and invocation, stack traces included."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from azure_functions_runtime import invocation_id_cv

HEADER: Final = "# time level logger invocation message"
# The Azure SDKs write a block of lines per HTTP call at INFO, the runtime one per invocation.
_CHATTY: Final = ("azure", "azure_functions_runtime", "aiohttp.access")
_ID_LENGTH: Final = 8


class LineFormatter(logging.Formatter):
    """``2026-09-10T14:32:27.459Z INFO host.queue 1c9d42ab message``, repeated in front of each further line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one or more whole lines."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        invocation = str(invocation_id_cv.get() or "-")[:_ID_LENGTH]
        start = f"{moment} {record.levelname} {record.name} {invocation}"
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return "\n".join(f"{start} {line}" for line in text.splitlines() or [""])


def start_logging() -> None:
    """Everything at INFO to standard error, the chatty libraries at WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    print(HEADER, file=sys.stderr, flush=True)
