"""Anthropic's Messages API, simulated: `asked` reads and refuses, `wire` answers."""
