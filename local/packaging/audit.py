"""What must be true of a package before it is deployed."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Final

from local.packaging.app_files import APP_PACKAGE, is_app_file
from local.packaging.bytecode import fault_of, place_of, wants_byte_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITE_PACKAGES: Final = ".python_packages/lib/site-packages"
_APP_CODE: Final = re.compile(rf"(?:{APP_PACKAGE}/(?:\w+/)*)?__pycache__/\w+\.cpython-\d+\.pyc")
_NAMED: Final = 5


def faults_of(package: Path) -> list[str]:
    """Every kind of fault in one line each; empty for a package that may be deployed."""
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        kinds = {
            "forbidden": [name for name in names if not _allowed(name)],
            "stale byte code": list(_stale(archive, set(names))),
            "without byte code": list(_uncompiled(set(names))),
        }
    return [f"{kind}: {_listed(found)}" for kind, found in kinds.items() if found]


def pinned(requirements: str) -> dict[str, str]:
    """Normalised name and version of every pin in the text of a requirements file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", requirements, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def _allowed(name: str) -> bool:
    """Only the app and its dependencies; whatever is not named here is refused, whatever it is called."""
    if name.startswith(f"{SITE_PACKAGES}/"):
        return not name.endswith("/RECORD")
    return is_app_file(name) or bool(_APP_CODE.fullmatch(name))


def _stale(archive: zipfile.ZipFile, names: set[str]) -> Iterator[str]:
    sources = {place_of(name): name for name in names if name.endswith(".py")}
    for name in sorted(names):
        if not name.endswith(".pyc"):
            continue
        if (source := sources.get(name)) is None:
            yield f"{name} has no source"
        elif fault := fault_of(archive.read(name), archive.read(source)):
            yield f"{name} {fault}"


def _uncompiled(names: set[str]) -> Iterator[str]:
    return (name for name in sorted(names) if wants_byte_code(name) and place_of(name) not in names)


def _listed(found: list[str]) -> str:
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
