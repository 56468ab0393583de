"""Google's Gemini protocol: `generateContent`, `streamGenerateContent`, `countTokens` (https://ai.google.dev/api/generate-content). See `codec`."""
