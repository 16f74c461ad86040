"""Use cases: they know the domain and the ports, never an adapter."""
