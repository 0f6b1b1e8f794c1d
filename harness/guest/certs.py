"""Throw-away TLS certificates: one authority per guest, so that no other user of the machine can connect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = ("ca", "server", "server-key", "client", "client-key")


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files, readable by their owner only."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Certificates:
        """The certificates in a directory, by their usual file names."""
        return cls(*(directory / f"{name}.pem" for name in NAMES))


def make_certificates(directory: Path) -> Certificates:
    """Makes an authority, a server certificate for 127.0.0.1 and a client certificate in a private directory."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("client.oomtrial.internal")
    certificates = Certificates.in_directory(directory)
    contents = {
        certificates.ca: authority.cert_pem.bytes(),
        certificates.server: b"".join(blob.bytes() for blob in server.cert_chain_pems),
        certificates.server_key: server.private_key_pem.bytes(),
        certificates.client: b"".join(blob.bytes() for blob in client.cert_chain_pems),
        certificates.client_key: client.private_key_pem.bytes(),
    }
    for path, content in contents.items():
        path.touch(mode=0o600)
        path.write_bytes(content)
    return certificates
