"""The chaos campaign: hosts killed at named points and at random, check_run by the tenant's log and the tables."""
