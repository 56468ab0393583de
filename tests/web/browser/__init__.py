"""A package, so that the browser ends with these tests: while it lives, its event loop would be in the way of other tests' own."""
