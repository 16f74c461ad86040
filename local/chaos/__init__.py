"""The chaos campaign: hosts killed at named points and at random, judged by the tenant's log and the tables."""
