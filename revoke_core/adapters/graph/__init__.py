"""Microsoft Graph over HTTP, and the managed identity that signs the app in."""
