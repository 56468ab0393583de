"""What usage costs: `price(usage, lines, ...) -> Cost`, exact, a line per bucket."""
