"""The cluster's own authority, and what it signs. Good for some days only: a test cluster does not grow old."""

import base64
import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = datetime.timedelta(days=30)


def write_secret(path: Path, content: bytes) -> None:
    """A file that nobody else may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def key_pair(folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
    """A new private key in NAME.key and its public one in NAME.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(folder / f"{name}.key", private)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return key


class Authority:
    """Signs for servers and clients; its own certificate is `ca.crt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = key_pair(folder, "ca")
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "refmill test cluster")])
        made = self._begun(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self._keep("ca", made.add_extension(_usage(signs=True), critical=True))

    def issue(self, name: str, *, common_name: str, groups: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """NAME.crt and NAME.key: for a server if it has `names` (host names and addresses), else for a client."""
        key = key_pair(self.folder, name)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        made = (
            self._begun(x509.Name(subject), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        self._keep(name, made)

    def _begun(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            # Some minutes back: clocks differ, and a test may turn its own.
            .not_valid_before(now - datetime.timedelta(minutes=10))
            .not_valid_after(now + LIFE)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _keep(self, name: str, made: x509.CertificateBuilder) -> None:
        certificate = made.sign(self._key, hashes.SHA256())
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def kubeconfig(self, name: str, server: str) -> dict[str, Any]:
        """Settings for a client that shows the certificate NAME, with everything in them."""
        encoded = {
            key: base64.b64encode((self.folder / file).read_bytes()).decode()
            for key, file in (("ca", "ca.crt"), ("crt", f"{name}.crt"), ("key", f"{name}.key"))
        }
        cluster = {"server": server, "certificate-authority-data": encoded["ca"]}
        user = {"client-certificate-data": encoded["crt"], "client-key-data": encoded["key"]}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "refmill-test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "refmill-test", "context": {"cluster": "refmill-test", "user": name}}],
            "current-context": "refmill-test",
        }

    def write_kubeconfig(self, path: Path, name: str, server: str) -> None:
        """The same as a file."""
        write_secret(path, yaml.safe_dump(self.kubeconfig(name, server), sort_keys=False).encode())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
