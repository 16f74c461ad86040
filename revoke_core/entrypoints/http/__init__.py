"""The HTTP API: calls in, responses out."""
