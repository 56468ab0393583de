"""Pages, rendered on the server in a process of their own."""
