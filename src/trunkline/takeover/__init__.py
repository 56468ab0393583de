"""Reads the configuration of other gateways."""
