"""The peer that the app is measured against: the same job as a plain function app, as the documentation shows it."""
