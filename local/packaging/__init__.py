"""Builds the zip that Azure runs; docs/package.md says how it is deployed."""
