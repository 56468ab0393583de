"""The one immutable account of a request, and its durable way into the store."""
