"""A certificate for 127.0.0.1 and its authority, made anew for each run, for the rows with TLS to the provider."""

from pathlib import Path

import trustme


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Writes `tls.pem` (certificate and authority) and `tls.key` for 127.0.0.1 and localhost; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = folder / "tls.pem", folder / "tls.key"
    certificate.write_bytes(issued.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    key.touch(mode=0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key
