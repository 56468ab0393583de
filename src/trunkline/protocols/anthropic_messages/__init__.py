"""Anthropic Messages (https://platform.claude.com/docs/en/api/messages): the codec of requests, answers, streams, usage, errors and token counts."""

NAME = "anthropic.messages"
