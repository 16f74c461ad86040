"""Twin doors, HTTP and queue: they turn a call into a use case and its answer into words on the wire."""
