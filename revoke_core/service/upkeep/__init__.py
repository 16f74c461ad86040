"""Upkeep: what the timers do, and telling whoever asked for it that a request has ended."""
