"""One request, end to end: attempts, passing through, translating, and the transport to providers."""
