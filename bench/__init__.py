"""The measurements: CPU, latency, memory and start time of Trunkline beside nginx and other gateways. `python -m
bench` runs them."""
