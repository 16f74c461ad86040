"""What chaos and bench stand on: the kit with proxies between its parts, and hosts that come and go."""
