"""The gates and the write budget that all instances share, in one table row."""
