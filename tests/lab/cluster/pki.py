"""The keys, certificates and kubeconfigs of one cluster: made anew at each start, gone with its folder."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE_ADDRESS = "10.96.0.1"  # of the service "kubernetes"
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
# Users of the token file, {name: group}; who is in no group may do nothing until a role is bound to the name.
USERS = {"admin": "system:masters", "rollback": "", "nobody": ""}


class Authority:
    """A certificate authority and what it has signed, in a folder that only its owner may read."""

    def __init__(self, folder: Path) -> None:
        """Make the authority; the folder must not have one."""
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("dualwrite lab authority")
        self.certificate = self._sign(self.name, self.key.public_key(), None)
        write(folder / "ca.crt", _pem(self.certificate))

    def issue(self, name: str, user: str, group: str = "", addresses: tuple[str, ...] = ()) -> None:
        """Write NAME.crt and NAME.key for a user, or for a server with these addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        write(self.folder / f"{name}.key", _private(key))
        hosts: list[x509.GeneralName] = [x509.DNSName(one) for one in NAMES]
        hosts += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
        certificate = self._sign(_name(user, group), key.public_key(), x509.SubjectAlternativeName(hosts))
        write(self.folder / f"{name}.crt", _pem(certificate))

    def service_account_keys(self) -> None:
        """Write sa.key and sa.pub, which tokens of service accounts are signed and read with."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write(self.folder / "sa.key", _private(key))
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        write(self.folder / "sa.pub", key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode())

    def tokens(self, server: str) -> None:
        """Write the token file of USERS, and a kubeconfig for each of them beside the folder."""
        lines = []
        for user, group in USERS.items():
            token = secrets.token_urlsafe(32)
            lines.append(f'{token},{user},{user},"{group}"\n')
            self.kubeconfig(self.folder.parent / f"{user}.kubeconfig", server, user, {"token": token})
        write(self.folder / "tokens.csv", "".join(lines))

    def kubeconfig(self, path: Path, server: str, user: str, credentials: dict[str, str]) -> None:
        """Write a kubeconfig (as JSON, which is YAML) for a user of the API at that address."""
        cluster = {"server": server, "certificate-authority-data": _encoded(self.folder / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
            "current-context": "lab",
        }
        write(path, f"{json.dumps(config, indent=1)}\n")

    def by_certificate(self, name: str) -> dict[str, str]:
        """Return the credentials of who has NAME.crt and NAME.key, for a kubeconfig."""
        return {f"client-{what}-data": _encoded(self.folder / f"{name}.{end}") for what, end in _CREDENTIALS.items()}

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, hosts: x509.SubjectAlternativeName | None
    ) -> x509.Certificate:
        authority = hosts is None
        now = datetime.datetime.now(datetime.timezone.utc)
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        bits = dict.fromkeys(("content_commitment", "data_encipherment", "encipher_only", "decipher_only"), False)
        bits |= {"digital_signature": True, "key_encipherment": not authority, "key_agreement": False}
        bits |= {"key_cert_sign": authority, "crl_sign": authority}
        ours = self.key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**bits), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )
        if hosts is not None:
            builder = builder.add_extension(hosts, critical=False).add_extension(uses, critical=False)
        return builder.sign(self.key, hashes.SHA256())


_CREDENTIALS = {"certificate": "crt", "key": "key"}


def write(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)


def _name(user: str, group: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
