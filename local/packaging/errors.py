"""How building the package can fail."""

from __future__ import annotations


class PackageError(RuntimeError):
    """The package cannot be built; the message names the next step."""


class IndexUnreachableError(PackageError):
    """No package index answers, so the wheels cannot be fetched."""
