"""Which models exist, who serves them, with what limits, prices and policies."""
