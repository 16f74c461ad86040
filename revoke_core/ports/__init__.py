"""What the use cases need from the world, as protocols: the status log, Microsoft Graph, shared facts."""
