"""Ends Microsoft Entra sign-in sessions through Microsoft Graph and proves the effect.

The package knows nothing of Azure Functions triggers; ``bootstrap`` is the one place that knows every room.
"""
