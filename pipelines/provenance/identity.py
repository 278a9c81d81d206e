"""The key that signs what this machine renders: made on first use, kept in the user's configuration folder.

`signing.pem` (mode 0600) holds the private key (ECDSA on P-256, so ES256), its certificate and the root's. The root signs this
one certificate and its own key is forgotten at once. Nobody vouches for this root: other programs, and `avatarcli verify` on
another machine, say "signed by an unknown issuer". Whoever has a certificate that others trust puts key and chain there.
Names in the certificates say nothing about the machine or its user.
"""

import datetime
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import MissingTool, SettingError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import CertificateBuilder, Name

FILE = "signing.pem"
YEARS = 20
ISSUER = "avatarcli (self-signed)"
TURN_OFF = "or leave the manifest out with --set provenance.manifest=false"


@dataclass(frozen=True)
class Identity:
    """PEM texts."""

    key: str
    chain: str
    """The signing certificate first, the root last."""

    @property
    def root(self) -> str:
        return "-----BEGIN CERTIFICATE-----" + self.chain.rpartition("-----BEGIN CERTIFICATE-----")[2]


def config_folder() -> Path:
    """$AVATARCLI_CONFIG, else $XDG_CONFIG_HOME/avatarcli, else ~/.config/avatarcli."""
    if own := os.environ.get("AVATARCLI_CONFIG"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config").expanduser() / "avatarcli"


def known_identity() -> Identity | None:
    """The identity of this machine, or None when it has never signed; SettingError when its file is broken."""
    path = config_folder() / FILE
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"the signing key {path} cannot be read ({error}); repair it, {TURN_OFF}.") from error
    start = text.find("-----BEGIN CERTIFICATE-----")
    if start < 0 or "PRIVATE KEY-----" not in text[:start]:
        raise SettingError(f"{path} has no private key followed by certificates; move it away to get a new one, {TURN_OFF}.")
    return Identity(text[:start], text[start:])


def identity() -> Identity:
    """The identity of this machine, made if there is none. Of two processes that make one at once, both use the first."""
    found = known_identity()
    if found is not None:
        return found
    path = config_folder() / FILE
    text = _fresh()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".signing-") as draft:  # mode 0600
            draft.write(text)
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, path)
    except OSError as error:
        raise SettingError(
            f"the signing key {path} cannot be made ({error.strerror}); set AVATARCLI_CONFIG to a folder of yours, {TURN_OFF}."
        ) from error
    made = known_identity()
    assert made is not None
    return made


def _fresh() -> str:
    """Private key, certificate and root of a new identity, as one PEM text."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError as error:
        raise MissingTool(
            f"the package cryptography is missing ({error}); pip install -c constraints.txt ., {TURN_OFF}."
        ) from error
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("root", root_key.public_key(), is_root=True).sign(root_key, hashes.SHA256())
    use = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    leaf = _certificate("renders", key.public_key(), is_root=False).add_extension(use, critical=False)
    signed = leaf.add_extension(by, critical=False).sign(root_key, hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (secret + signed.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)).decode()


def _certificate(role: str, own: "EllipticCurvePublicKey", *, is_root: bool) -> "CertificateBuilder":
    """Of a key, issued by the root. E-mail protection (see the caller) is a use that C2PA accepts."""
    from cryptography import x509

    begin = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0) - datetime.timedelta(days=1)
    usage = x509.KeyUsage(
        digital_signature=not is_root, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_root, crl_sign=is_root, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    end = begin + datetime.timedelta(days=365 * YEARS)
    builder = x509.CertificateBuilder(_name("root"), _name(role), own, x509.random_serial_number(), begin, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)


def _name(role: str) -> "Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    owner = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ISSUER)
    return x509.Name([owner, x509.NameAttribute(NameOID.COMMON_NAME, role)])
