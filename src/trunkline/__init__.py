"""Trunkline: one address and one key for every large language model."""

__version__ = "0.1.0"
