"""Byte code that stays valid in a zip: it carries its source's hash, and the interpreter trusts it unchecked.

Byte code with a time is stale as soon as a zip rounds the source's time to two seconds, and then every cold start
compiles every module again: https://docs.python.org/3.13/reference/import.html#pyc-invalidation
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from local.packaging.errors import PackageError

if TYPE_CHECKING:
    from pathlib import Path

# Where Azure mounts the package: tracebacks name this path, not the folder in which the package was built.
_PLACE: Final = "/home/site/wwwroot"
# The Graph SDK's request builders and models: 16,736 of its 16,741 modules. The app sends plain requests through the
# SDK's adapter and imports none of them, and their byte code is half of the whole package. Their sources are there.
_WITHOUT: Final = re.compile(r"msgraph[/\\]generated[/\\][^/\\]+[/\\]")
_HEADER: Final = 16
_UNCHECKED_HASH: Final = (0b01).to_bytes(4, "little")


def compile_tree(folder: Path) -> None:
    """Compile what a cold start may import below ``folder``; the same sources give the same bytes."""
    command = [sys.executable, "-P", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", _PLACE, "-x", _WITHOUT.pattern, str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise PackageError(f"The sources could not be compiled:\n{(done.stdout + done.stderr)[-2000:]}")


def wants_byte_code(name: str) -> bool:
    """Whether a file of the package must have byte code beside it."""
    return name.endswith(".py") and not _WITHOUT.search(name)


def place_of(source: str) -> str:
    """Where the interpreter looks for the byte code of a source."""
    folder, _, file = source.rpartition("/")
    return f"{folder}/__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc".lstrip("/")


def fault_of(code: bytes, source: bytes) -> str:
    """What is wrong with byte code, or nothing."""
    if code[:4] != importlib.util.MAGIC_NUMBER:
        return "is of another Python"
    if code[4:8] != _UNCHECKED_HASH:
        return "is checked against a time or a hash at each import"
    if code[8:_HEADER] != importlib.util.source_hash(source):
        return "is of another source"
    return ""
