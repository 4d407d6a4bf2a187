"""A review of any small project, by two stand-ins whose keys everybody can read."""

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remit.adapters.project import compile_snapshot, lock_text
from remit.catalogue import Signer, TrustRoot, public_key_of, sign_list, sign_parts, trust_json

# Each key is one byte, repeated: nobody trusts it.
_REVIEWERS = {"sue": ("security", b"\x01" * 32), "eli": ("engineering", b"\x02" * 32)}
_LISTS = "organisation/directories/"
_ENTITLEMENTS = "organisation/entitlements.yaml"


def reviewer_key(person: str) -> bytes:
    """Return the private key of `sue` or `eli`, PEM."""
    key = Ed25519PrivateKey.from_private_bytes(_REVIEWERS[person][1])
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def reviewed(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return a project's `files` with every operation, directory and entitlement signed by sue and eli, and pinned.

    Every agent is deployed with every operation.

    Raises:
        ProjectInvalidError: with every problem found.
    """
    return {**files, **review_of_files(files)}


def review_of_files(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return what that review leaves behind."""
    snapshot = compile_snapshot(files)
    signers = {
        name: Signer(frozenset({role}), (public_key_of(reviewer_key(name)),)) for name, (role, _) in _REVIEWERS.items()
    }
    thresholds = {role: 1 for role, _ in _REVIEWERS.values()}
    made = {"trust.json": trust_json(TrustRoot(version=1, persons=signers, thresholds=thresholds))}
    for agent in snapshot.charters:
        made[f"agents/{agent}/tools.lock"] = lock_text(snapshot.descriptors, snapshot.descriptors).encode()
    for operation, descriptor in snapshot.descriptors.items():
        signed: bytes | None = None
        for name in _REVIEWERS:
            signed = sign_parts(descriptor, signed, reviewer_key(name))
        made[f"catalogue/signatures/{operation}.dsse.json"] = signed or b""
    for path, body in files.items():
        if path.startswith(_LISTS):
            name = path.removeprefix(_LISTS).removesuffix(".yaml")
            made[f"organisation/signatures/{name}.directory.dsse.json"] = _list_signed("directory", name, body)
        elif path == _ENTITLEMENTS:
            made["organisation/signatures/entitlements.dsse.json"] = _list_signed("entitlements", "entitlements", body)
    return made


def _list_signed(kind: str, name: str, body: bytes) -> bytes:
    signed: bytes | None = None
    for person in _REVIEWERS:
        signed = sign_list(kind, name, body, signed, reviewer_key(person))
    return signed or b""
