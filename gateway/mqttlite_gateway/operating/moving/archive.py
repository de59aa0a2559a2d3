"""An archive: a tar file, compressed, with a manifest in front that names each part with its size, mode and SHA-256."""

import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mqttlite.store.folder import sync_folder

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # FAT, as USB sticks have it


class Damaged(ValueError):
    """It is no archive, or not whole."""


@dataclass
class Part:
    """`path`: where it belongs. `name`: in the archive."""

    path: str
    name: str
    kind: str
    mode: int
    size: int
    sha256: str


@dataclass
class Manifest:
    """`machine`: the one it comes from, as a digest. `is_move`: the gateway there has ended for good. `life`: of the
    store (lives).
    """

    version: str
    host: str
    machine: str
    at: str
    is_move: bool
    life: str = ""
    parts: list[Part] = field(default_factory=list)
    format: int = FORMAT

    def encoded(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def decoded(cls, data: bytes) -> "Manifest":
        """ValueError: it is none of ours, or of a later release."""
        found = json.loads(data)
        if not isinstance(found, dict) or not isinstance(found.get("format"), int):
            raise ValueError("it has no manifest of a gateway")
        if found["format"] > FORMAT:
            raise ValueError(f"it was made by a later release ({found.get('version')}): install that one")
        try:
            return cls(**{**found, "parts": [Part(**part) for part in found["parts"]]})
        except TypeError as error:
            raise ValueError(f"its manifest is not as it should be: {error}") from None


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            found.update(block)
    return found.hexdigest()


def write(to: Path, manifest: Manifest, files: dict[str, Path]) -> int:
    """Write it, durably and for its owner alone, or not at all; its bytes. `files`: by the name in the archive."""
    part = to.with_name(f".{to.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    try:
        number = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "w+b") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
                data = manifest.encoded()
                head = tarfile.TarInfo(MANIFEST)
                head.size = len(data)
                tar.addfile(head, io.BytesIO(data))
                for each in manifest.parts:
                    info = tarfile.TarInfo(each.name)
                    info.size, info.mode = each.size, 0o600
                    with open(files[each.name], "rb") as source:
                        tar.addfile(info, source)
            file.flush()
            os.fsync(number)
        _name(part, to)
        sync_folder(os.fspath(to))
    finally:
        part.unlink(missing_ok=True)
    return to.stat().st_size


def _name(part: Path, to: Path) -> None:
    """Give it its name, never over another file. OSError."""
    try:
        os.link(part, to)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(to):
            raise FileExistsError(errno.EEXIST, "is there already", str(to)) from None
        os.rename(part, to)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """An archive, opened. ValueError: it is none, or turns out to be damaged while it is read."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            first = tar.next()
            data = tar.extractfile(first) if first and first.name == MANIFEST and first.size < CHUNK_BYTES else None
            if data is None:
                raise Damaged("it has no manifest of a gateway")
            try:
                manifest = Manifest.decoded(data.read())
            except ValueError as error:
                raise Damaged(str(error)) from None
            yield manifest, tar
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, Damaged) as error:
        raise ValueError(f"{path} is no whole backup of a gateway: {error}") from None


def unpack(tar: tarfile.TarFile, part: Part, to: Path) -> None:
    """One part into a new file of mode 0600, durably. Damaged: it is not as the manifest says."""
    try:
        source = tar.extractfile(part.name)
    except KeyError:
        source = None
    if source is None:
        raise Damaged(f"{part.path} is missing")
    found = hashlib.sha256()
    with os.fdopen(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        while block := source.read(CHUNK_BYTES):
            found.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if found.hexdigest() != part.sha256:
        raise Damaged(f"{part.path} is damaged")
