"""How to reach a vendor: base URL, auth, headers, quirks."""
