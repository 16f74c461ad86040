"""The real ends of the ports: Microsoft Graph, the managed identity, Azure Storage."""
