"""Releases as files, signed by their maker with Ed25519: a zip archive with what a half of the flash is to hold, or an
image, and a signature over the hashes of all of it.

Who sends it to boards verifies that (a board has no Ed25519) and signs for each device with the device's own key. Needs
the extra `update` (cryptography) where something is signed or verified.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...broker.access.secret_files import write_secret
from ...core.shown import shown
from ..extras import need
from ..images.firmware_image import check_application
from .devices import configuration
from .manifest import IMAGE, Release

HEAD = "release.json"
SIGNATURE = "release.sig"
FILES = "files/"
FORMAT = 1
UNPACKED_MAX = 64 << 20  # bytes of a release, unpacked
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same bytes for the same release


class ReleaseError(ValueError):
    """A release, or a key, is not what it should be; says why."""


def make_key(path: Path) -> Path:
    """Make a maker's key: the private one at `path`, for its owner alone, the public one beside it, whose path is
    returned. Raises ReleaseError where there is one already.
    """
    serialization = need("cryptography.hazmat.primitives.serialization")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519")
    public = path.with_name(path.name + ".pub")
    for there in (path, public):
        if there.exists():
            raise ReleaseError(f"{there} is there already: a key that is lost cannot be made again, so it stays")
    key = ed25519.Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    write_secret(path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return public


def pack(release: Release, key: Path) -> bytes:
    """A release as a file, signed with the private key in the file `key`."""
    private = _loaded(key, is_private=True)
    about = {
        "format": FORMAT,
        "release": release.name,
        "kind": release.kind,
        "files": {
            place: {"size": len(data), "sha256": sha256(data).hexdigest()} for place, data in release.files.items()
        },
    }
    head = json.dumps(about, sort_keys=True, indent=1).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = [(HEAD, head), (SIGNATURE, private.sign(head))]
        parts += [(FILES + place, data) for place, data in sorted(release.files.items())]
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name, _WHEN), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def unpack(path: Path, makers: Sequence[Path]) -> Release:
    """The release in a file, signed by one of the makers whose public keys these files hold. Raises ReleaseError: it is
    damaged, or by nobody of them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > UNPACKED_MAX:
                raise ReleaseError(f"{path}: larger than {UNPACKED_MAX >> 20} MiB: no release for a board")
            head, signature = archive.read(HEAD), archive.read(SIGNATURE)
            _verify(path, head, signature, makers)
            about = json.loads(head)
            if about["format"] != FORMAT:
                raise ReleaseError(f"{path}: made by a newer mqttlite: update this one")
            files = {place: archive.read(FILES + place) for place in about["files"]}
        for place, data in files.items():
            if sha256(data).hexdigest() != about["files"][place]["sha256"]:
                raise ReleaseError(
                    f"{path}: {shown(place)} is not what was signed: the file is damaged, or was changed"
                )
        return Release(about["release"], files, about["kind"])
    except zipfile.BadZipFile:
        raise ReleaseError(
            f"{path} is no release of mqttlite, or is damaged: `mqttlite update sign` makes one of a folder; an "
            "image for an OTA slot goes with --image"
        ) from None
    except (KeyError, TypeError, json.JSONDecodeError, EOFError) as error:
        raise ReleaseError(f"{path}: no release of mqttlite ({type(error).__name__}: {error})") from None


def image(path: Path, name: str) -> Release:
    """A release of an image for an OTA slot. Raises ImageError, OSError."""
    data = path.read_bytes()
    check_application(path, data)
    return Release(name, {IMAGE: data}, IMAGE)


def folder(path: Path, values: dict[str, Any], name: str) -> Release:
    """A release of the application in a folder, with mqttlite and the board's program as its settings need them.

    Raises ApplicationError, CompileError, NoFilesError.
    """
    from ..images import board_files

    bundle = board_files.bundle_for(values, path)
    return Release(name, board_files.library(bundle) | board_files.application(path))


def makers() -> list[Path]:
    """The public keys of makers that are trusted where none is named: ~/.config/mqttlite/makers/*.pub."""
    return sorted((configuration() / "makers").glob("*.pub"))


def _verify(path: Path, head: bytes, signature: bytes, makers: Sequence[Path]) -> None:
    if not makers:
        raise ReleaseError(
            f"{path} is signed, and no maker is trusted: give the maker's public key with --maker, or put it into"
            " ~/.config/mqttlite/makers/"
        )
    invalid = need("cryptography.exceptions").InvalidSignature
    for maker in makers:
        try:
            _loaded(maker, is_private=False).verify(signature, head)
            return
        except invalid:
            continue
    names = ", ".join(maker.name for maker in makers)
    raise ReleaseError(f"{path}: its signature is none of {names}: another maker's, or it was changed")


def _loaded(path: Path, *, is_private: bool) -> Any:
    serialization = need("cryptography.hazmat.primitives.serialization")
    ed25519 = need("cryptography.hazmat.primitives.asymmetric.ed25519")
    data = path.read_bytes()
    try:
        if is_private:
            found = serialization.load_pem_private_key(data, None)
        else:
            found = serialization.load_pem_public_key(data)
    except (ValueError, TypeError):
        found = None
    wanted = ed25519.Ed25519PrivateKey if is_private else ed25519.Ed25519PublicKey
    if not isinstance(found, wanted):
        what, other = ("private", "public") if is_private else ("public", "private")
        if b" PUBLIC KEY-" in data if is_private else b"PRIVATE KEY-" in data:
            named = path.with_suffix("") if is_private else path.with_name(path.name + ".pub")
            raise ReleaseError(f"{path}: no {what} key of a maker but the {other} one: give {named}")
        raise ReleaseError(f"{path}: no {what} key of a maker (mqttlite update key makes one)")
    return found
