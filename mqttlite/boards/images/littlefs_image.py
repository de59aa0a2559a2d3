"""The file system of a board, made on the computer: littlefs as MicroPython's VfsLfs2 makes it on an ESP32.

Sizes must be MicroPython's own, cache_size above all: a file that is kept inside its folder's entry ("inline") is read
into a buffer of that size, and a larger one here would leave files that a board reads cut off.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..extras import need

if TYPE_CHECKING:
    from littlefs import LittleFS

BLOCK = 4096
READ = PROGRAM = LOOKAHEAD = 32  # defaults of VfsLfs2
CACHE = 4 * PROGRAM


class TooLargeError(ValueError):
    """The files do not fit; says how much there is and how much is needed."""


def build(files: Mapping[str, bytes], size: int) -> bytes:
    """An image of `size` bytes with these files; their names have no slash in front. Raises TooLargeError."""
    littlefs = need("littlefs")
    system = _system(littlefs, size // BLOCK, {})
    made = set()
    try:
        for name, content in sorted(files.items()):
            parts = name.split("/")
            for end in range(1, len(parts)):
                folder = "/".join(parts[:end])
                if folder not in made:
                    made.add(folder)
                    system.mkdir(folder)
            with system.open(name, "wb") as file:
                file.write(content)
    except littlefs.LittleFSError as error:
        needed = sum(-(-len(content) // BLOCK) for content in files.values()) * BLOCK
        raise TooLargeError(
            f"the files take about {needed // 1024} KiB, and the file system of the board has {size // 1024} ({error})"
        ) from None
    system.unmount()
    return bytes(system.context.buffer)


def read(image: bytes) -> dict[str, bytes]:
    """The files in an image. Raises ValueError where there is no file system."""
    littlefs = need("littlefs")
    try:
        system = _system(littlefs, len(image) // BLOCK, {"mount": False})
        system.context.buffer[:] = image
        system.mount()
        files = {}
        for folder, _, names in system.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with system.open(path, "rb") as file:
                    files[path.lstrip("/")] = file.read()
    except littlefs.LittleFSError as error:
        raise ValueError(f"no littlefs file system: {error}") from None
    return files


def _system(littlefs: Any, blocks: int, options: dict[str, Any]) -> "LittleFS":
    return littlefs.LittleFS(  # type: ignore[no-any-return]
        block_size=BLOCK,
        block_count=blocks,
        read_size=READ,
        prog_size=PROGRAM,
        cache_size=CACHE,
        lookahead_size=LOOKAHEAD,
        block_cycles=100,
        **options,
    )
