"""A development host for Azure Functions: routes, keys, queues and timers around Microsoft's own Python runtime."""
