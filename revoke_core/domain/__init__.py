"""Rules without input or output: nothing here imports from the other rooms."""
