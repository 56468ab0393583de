"""The local model: weights as data, a supervised child process that runs them, and servers that already run on this
machine."""
