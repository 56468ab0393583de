"""Bedrock's Converse and ConverseStream, simulated: requests checked as Amazon checks them, answers in its shapes and frames."""
