"""The API's description (OpenAPI 3.0.1) with the app's own address in it.

``python -m local openapi`` makes ``openapi.json`` from the tables that bodies are read by.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parents[2] / "openapi.json"


@lru_cache(maxsize=1)
def description(base_url: str) -> bytes:
    """The document as UTF-8 JSON; its one server is ``base_url``, the address of the API with ``/api``."""
    document = json.loads(_FILE.read_bytes())
    document["servers"] = [{"url": base_url}]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
