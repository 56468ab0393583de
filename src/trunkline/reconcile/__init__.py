"""Compares what a provider says it was used for, and billed, with our records. See docs/reconcile.md."""
