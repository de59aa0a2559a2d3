"""Runs all features with all clients and writes the table: python -m tests.interop.matrix.table [-w] (make interop)

-w writes it into docs/interop.md, too. A cell is "yes"; "no", which a test never lets pass; "–": the client's interface
has no way to ask for it, or the version has no such thing.
"""

import argparse
import asyncio
import contextlib
import logging
import re
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from mqttlite.broker import Broker, Tls
from tests.broker.raw import port_of
from tests.certificates import Certificates
from tests.peers import Mosquitto, free_port
from tests.runtimes import ROOT

from .aiomqtt_peer import Aiomqtt
from .features import FEATURES, World
from .gmqtt_peer import Gmqtt
from .mosquitto_peer import MosquittoClients
from .node_peer import MqttJs
from .our_peer import Ours
from .paho_peer import Paho
from .peer import Peer, UnableError
from .tap import Tap

DOCS = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- made by `make interop` -->", "<!-- end -->"
YES, NO, NONE = "yes", "no", "–"
PEERS: tuple[type[Peer], ...] = (Ours, MosquittoClients, Paho, Aiomqtt, Gmqtt, MqttJs)
LIMIT_S = 20

Column = tuple[str, str, str]  # broker, client, version
COLUMNS: tuple[Column, ...] = (
    *[("mqttlite", peer.name, version) for peer in PEERS for version in peer.versions],
    *[("Mosquitto", Ours.name, version) for version in Ours.versions],
)


def peer_of(name: str) -> Peer:
    """A client by its name."""
    return next(peer for peer in PEERS if peer.name == name)()


@contextlib.asynccontextmanager
async def broker(kind: str, folder: Path) -> AsyncIterator[tuple[int, dict[str, int], str]]:
    """A new one: its port, those of other ways, and the CA."""
    made = Certificates(folder / "ca")
    pair = made.server()
    if kind == "mqttlite":
        urls = ["mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0/mqtt"]
        async with Broker(urls, tls=Tls(pair.certificate, pair.key)) as running:
            tcp, tls, ws = map(port_of, running.addresses)
            yield tcp, {"tls": tls, "ws": ws}, str(made.ca)
        return
    tls, ws = free_port(), free_port()
    listeners = (  # as one setting: a listener's own lines come behind it
        f"10\nlistener {tls} 127.0.0.1\ncertfile {pair.certificate}\nkeyfile {pair.key}\n"
        f"listener {ws} 127.0.0.1\nprotocol websockets"
    )
    with Mosquitto(folder / "mosquitto", persistence=False, settings={"max_topic_alias": listeners}) as mosquitto:
        yield mosquitto.port, {"tls": tls, "ws": ws}, str(made.ca)


async def cell(name: str, world: World) -> str:
    """Try one feature; YES, or NONE. Raises AssertionError, TimeoutError and whatever a client raises."""
    function, only_5 = FEATURES[name]
    if only_5 and not world.is_5:
        return NONE
    async with world.closing():
        try:
            async with asyncio.timeout(LIMIT_S):
                await function(world)
        except UnableError:
            return NONE
    return YES


async def tried(column: Column, folder: Path) -> dict[str, str]:
    """All features of a column, each with a broker of its own; what fails is NO, and said on standard error."""
    found = {}
    peer = peer_of(column[1])
    try:
        for number, name in enumerate(FEATURES):
            place = folder / str(number)
            place.mkdir(parents=True)
            try:
                found[name] = await one(peer, column, name, place)
            except Exception:
                found[name] = NO
                print(f"--- {title(column)}: {name}\n{traceback.format_exc()}", file=sys.stderr)
    finally:
        await peer.close()
    return found


def title(column: Column) -> str:
    """The head of a column."""
    kind, client, version = column
    return f"{client} {version}" + (" at Mosquitto" if kind == "Mosquitto" else "")


async def one(peer: Peer, column: Column, name: str, folder: Path) -> str:
    """One cell, with a broker of its own. As `cell`."""
    kind, _, version = column
    if FEATURES[name][1] and version != "5.0":
        return NONE
    async with broker(kind, folder) as (port, ports, ca), Tap(port).listening() as tap:
        return await cell(name, World(peer, version, kind, tap, ports, ca))


def text_of(cells: dict[Column, dict[str, str]]) -> str:
    """The table in Markdown."""
    lines = ["| | " + " | ".join(map(title, cells)) + " |", "|---" * (len(cells) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(column[name] for column in cells.values()) + " |" for name in FEATURES]
    return "\n".join(lines) + "\n"


def in_docs() -> dict[Column, dict[str, str]]:
    """The table as docs/interop.md has it."""
    text = DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return {
        column: {row[0]: row[head.index(title(column))] for row in rows} if title(column) in head else {}
        for column in COLUMNS
    }


def main(words: Sequence[str]) -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.matrix.table", description=__doc__)
    parser.add_argument("-w", "--write", action="store_true", help="into docs/interop.md, too")
    parser.add_argument("-k", default="", metavar="WORDS", help="columns alone that have this in their name")
    args = parser.parse_args(words)
    logging.disable(logging.ERROR)
    cells = {}
    for column in COLUMNS:
        if args.k in " ".join(column):
            with tempfile.TemporaryDirectory() as folder:
                cells[column] = asyncio.run(tried(column, Path(folder)))
    text = text_of(cells)
    print(text, end="")
    if args.write and not args.k:
        old = DOCS.read_text(encoding="utf-8")
        DOCS.write_text(
            re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{text}\n{END}", old, flags=re.S),
            encoding="utf-8",
        )
    return 1 if any(NO in column.values() for column in cells.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
