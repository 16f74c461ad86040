"""From the sources and the pins to one zip."""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from local.packaging.app_files import app_files
from local.packaging.archive import pack, write_checksum
from local.packaging.audit import SITE_PACKAGES, faults_of
from local.packaging.bytecode import compile_tree
from local.packaging.dependencies import install
from local.packaging.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Callable


def build(root: Path, out: Path, say: Callable[[str], None]) -> Path:
    """Build ``out``/entra-session-revoker-VERSION.zip and its checksum from the project in ``root``.

    ``say`` gets one line for each step. ``PackageError`` when it cannot be built, or when what was built fails the
    audit: then there is no zip of that name.
    """
    python = _python(root)
    files = app_files(root)
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"entra-session-revoker-{_version(root)}.zip"
    for old in (package, package.with_name(f"{package.name}.sha256")):
        old.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="package-", dir=out) as scratch:
        folder = Path(scratch) / "package"
        say(f"{len(files)} files of the app")
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
        say(f"pinned wheels for Linux x86-64, Python {python} ...")
        install(root / "requirements.txt", folder / SITE_PACKAGES, python)
        say("byte code ...")
        compile_tree(folder)
        say("zip ...")
        fresh = Path(scratch) / package.name
        pack(folder, fresh)
        say("audit ...")
        if faults := faults_of(fresh):
            raise PackageError("The package that was built must not be deployed:\n" + "\n".join(faults))
        fresh.replace(package)
    write_checksum(package)
    return package


def _python(root: Path) -> str:
    wanted = (root / ".python-version").read_text().strip()
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if running != wanted:
        raise PackageError(
            f"This is Python {running}, and byte code of another Python is worth nothing in Azure: "
            f"build with Python {wanted} (`make package` does)."
        )
    return wanted


def _version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
