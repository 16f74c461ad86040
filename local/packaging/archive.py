"""A zip that is the same to the byte whenever the same files go in."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# The first moment a zip can name.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_PLAIN_FILE: Final = 0o100644 << 16
_LEVEL: Final = 6


def pack(folder: Path, to: Path) -> None:
    """Write every file below ``folder``, sorted, without times, owners or modes of this machine."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    half = to.with_suffix(".part")
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = _PLAIN_FILE
            archive.writestr(entry, (folder / name).read_bytes())
    # Only a whole package ever has the package's name.
    half.replace(to)


def write_checksum(package: Path) -> Path:
    """Write ``<package>.sha256`` as ``sha256sum --check`` reads it."""
    with package.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    beside = package.with_name(f"{package.name}.sha256")
    beside.write_text(f"{digest}  {package.name}\n")
    return beside
