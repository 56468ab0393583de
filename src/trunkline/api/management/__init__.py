"""The management API, served by the console process."""
