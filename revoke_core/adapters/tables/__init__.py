"""The status log and the facts all instances share, in Azure Table Storage."""
