"""Upkeep: what the timers do."""
