"""The upstream HTTP/1.1 client. In: `UpstreamRequest`. Out: `UpstreamResponse`, read in chunks. See `client`."""
