"""A Microsoft Entra tenant on one machine: Microsoft Graph and the managed-identity endpoint, over real sockets."""
