"""Builds the zip that Azure runs; docs/package.md explains how it is deployed."""
