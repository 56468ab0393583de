"""What all gateways of an installation agree on while requests are under way: in memory for one process, in Redis for several."""
