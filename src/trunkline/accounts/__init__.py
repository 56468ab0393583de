"""Who may call: keys and their rules. No SQL, no HTTP."""
