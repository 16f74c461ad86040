"""The local kit: a tenant simulator, a storage emulator and a Functions host, on one machine without a cloud."""
