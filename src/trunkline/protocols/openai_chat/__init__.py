"""OpenAI Chat Completions (https://platform.openai.com/docs/api-reference/chat): peek at a request, make the upstream's, read answers and streams, errors."""

NAME = "openai.chat"
