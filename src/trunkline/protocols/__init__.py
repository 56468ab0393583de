"""One folder per wire protocol: codecs that do no IO. What they share is framing (`sse`) and top-level JSON surgery (`rawjson`)."""
