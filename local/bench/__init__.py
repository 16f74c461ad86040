"""The budgets of this version as ratios, both sides measured in one run."""
