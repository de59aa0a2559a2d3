"""The files that browsers load, read once at the start: nothing else below `static` can be asked for."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

FOLDER = Path(__file__).with_name("static")

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class File(NamedTuple):
    """One of them."""

    data: bytes
    kind: str
    tag: str


class Files:
    """`answer(request, name)` for each."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        for path in sorted(FOLDER.rglob("*")):
            kind = _KINDS.get(path.suffix)
            if kind:
                data = path.read_bytes()
                tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
                self._files[path.relative_to(FOLDER).as_posix()] = File(data, kind, tag)

    def answer(self, request: web.Request, name: str) -> web.Response:
        """The file; 304 where the browser has it."""
        file = self._files.get(name)
        if file is None:
            return web.Response(status=404, text="there is no such page\n")
        headers = {"Content-Type": file.kind, "ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.data, headers=headers)
