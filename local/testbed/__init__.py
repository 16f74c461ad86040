"""The test environment: proxies between host and servers, fault rules, and the recognition of exchanges."""
