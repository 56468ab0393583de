"""Google's Gemini API, simulated: `asked` reads and refuses, `wire` answers."""
