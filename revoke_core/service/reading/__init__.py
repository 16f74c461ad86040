"""Reading: questions to the status log and to the app itself; nothing here changes anything."""
