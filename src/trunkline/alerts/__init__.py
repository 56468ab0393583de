"""Tells somebody outside of budgets that run out, providers that are down and models without a price. See docs/alerts.md."""
