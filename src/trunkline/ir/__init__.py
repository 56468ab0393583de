"""The canonical form: what a request, an answer and their usage mean, whatever protocol carried them."""
