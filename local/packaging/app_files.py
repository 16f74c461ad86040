"""Which files are the app: exactly what ``.funcignore`` lets Core Tools and azd upload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pathspec import GitIgnoreSpec

from local.packaging.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP_PACKAGE: Final = "revoke_core"
FILES: Final = ("function_app.py", "host.json", "requirements.txt", f"{APP_PACKAGE}/openapi.json")


def app_files(root: Path) -> list[str]:
    """Paths below ``root`` with slashes, sorted; ``PackageError`` when something else would be uploaded too."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text().splitlines())
    found = sorted(_uploaded(root, ignored, ""))
    if strangers := [name for name in found if not is_app_file(name)]:
        raise PackageError(
            f"These files are no part of the app, and func or azd would upload them: {', '.join(strangers)}.\n"
            "Delete them, or name them in .funcignore."
        )
    if missing := [name for name in FILES if name not in found]:
        raise PackageError(f"{', '.join(missing)} would not be uploaded: look in {root} and in .funcignore.")
    return found


def is_app_file(name: str) -> bool:
    """Whether a file with this path may be in the package beside the dependencies."""
    return name in FILES or (name.startswith(f"{APP_PACKAGE}/") and name.endswith(".py"))


def _uploaded(root: Path, ignored: GitIgnoreSpec, below: str) -> Iterator[str]:
    for entry in (root / below).iterdir():
        name = f"{below}{entry.name}"
        # An ignored folder is not entered, as with git: .venv alone holds 40,000 files.
        if entry.is_dir() and not entry.is_symlink():
            if not ignored.match_file(f"{name}/"):
                yield from _uploaded(root, ignored, f"{name}/")
        elif not ignored.match_file(name):
            yield name
