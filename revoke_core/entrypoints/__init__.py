"""HTTP routes and queue handlers: each turns a call into one use case and its result into a response."""
