"""OpenAI's Responses API, simulated: `asked` reads and refuses, `wire` answers."""
