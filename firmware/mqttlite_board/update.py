"""Updates over MQTT: what this board runs is replaced, half by half (blocks.py), or as a whole image (image.py).

TOPIC/update         QoS 1  in:  a manifest, signed with the device's key
TOPIC/update/block   QoS 1  in:  a block of what it names
TOPIC/update/want    QoS 0  which blocks to send: again after each connection, and when nothing comes
TOPIC/update/state   QoS 1  retained: {"state": "receiving", "trial", "good", "back" or "refused", "id", "count": of
                            the manifest, "release": what runs, "half": …, "why": …}; what is refused is said at QoS 0
                            and not retained, since anybody may have sent it

It is imported when a manifest arrives, when one has not been finished, and when there is something to tell. Program
and starter go on meanwhile; the board restarts when all is there. Both runtimes.
"""

import asyncio
import gc
import json
from binascii import hexlify, unhexlify

from . import blocks
from .blocks import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WANTED_MAX = 4  # blocks that are asked for: so many messages may be in memory
QUIET_S = 20  # without a block, until it asks again; each time twice as long, up to
QUIET_MAX_S = 600
ROOMY = 64000  # bytes that are free before the application is loaded: enough for it and for an update
ALONE_S = 120  # without a block, until the application is worth more than an update
AWAKE_S = 5  # without a block, until a board that sleeps between its measurements goes to sleep
FAILURES = (Refused, KeyError, ValueError, OSError)  # what arrives makes no sense, or the flash is full or broken


def is_alone(start: "Any") -> bool:
    """Whether what is to come needs the memory of the application, which is not started then."""
    gc.collect()
    waits = start.exists(start.ROOT + blocks.MANIFEST) or start.exists(start.ROOT + "offer")
    return waits and not start.is_trial and hasattr(gc, "mem_free") and gc.mem_free() < ROOMY


def words(error: Exception) -> str:
    """Why an update is not taken, or given up."""
    return str(error.args[0]) if isinstance(error, Refused) else repr(error)


class Update:
    """Of a program: what it does with updates. `take` is for manifests."""

    def __init__(self, program: "Any") -> None:
        self.program = program
        self.start = program.start
        self.download: "blocks.Download | None" = None
        self.key = unhexlify(program.settings["key"] or "")
        self.asked_for = 0  # blocks
        self.is_ending = False  # what has arrived is looked at, which takes turns
        self.quiet_s = QUIET_S
        self.arrived = asyncio.Event()  # a block
        self.silent_s = 0  # since a block has come, about
        self.task: "Any" = None
        self.telling: "Any" = None

    def is_busy(self) -> bool:
        """Whether it is worth to stay awake for it."""
        is_telling = self.telling is not None and not self.telling.done()
        return is_telling or (self.download is not None and self.silent_s < AWAKE_S)

    async def follow(self) -> None:
        """Beside the program, when there was something before this start."""
        await self.program.connected.wait()
        await self.resume()
        await asyncio.Event().wait()

    async def resume(self) -> None:
        """After a start: tell what came of the last one, and go on with what is unfinished, or was put off."""
        start = self.start
        offer = blocks.content(start.ROOT + "offer")  # program.OFFER
        blocks.remove(start.ROOT + "offer")
        await self._resume()
        if offer:
            await self.take(offer)
        if self.program.alone and not self.download:
            self.program.stop("restart")

    async def _resume(self) -> None:
        start = self.start
        payload = blocks.content(start.ROOT + blocks.MANIFEST)
        if payload:
            try:
                fields = blocks.fields_of(payload, self.key, self.program.settings["name"])
            except (Refused, KeyError, ValueError):  # the key is another one now
                blocks.remove(start.ROOT + blocks.FOLDER)
            else:
                download = self._make(payload, fields)
                if download.is_done():
                    download.clear()
                else:
                    try:
                        await self._go_on(download)
                    except MemoryError:  # right after a start: it would be the same after the next one
                        await self._give_up(download, Refused("there is not enough memory for it"))
        tell = start.record.get("tell")
        if tell:
            why = {} if tell == "good" else {"why": tell}
            receipt = await self.tell("good" if tell == "good" else "back", start.record.get("count", 0), **why)
            await receipt.completed()
            record = dict(start.record)
            if record.pop("tell", None) == tell:
                record["told"] = tell
                start.keep(record)

    async def take(self, payload: bytes) -> None:
        """A manifest has arrived."""
        start = self.start
        download = self.download
        if download and payload == download.payload:
            self.quiet_s = QUIET_S
            await self.tell("receiving", download.count, payload)
            await self._ask()
            return
        count = 0
        try:
            fields = blocks.fields_of(payload, self.key, self.program.settings["name"])
            new = self._make(payload, fields)
            count = new.count
            if start.record.get("id") == str(hexlify(payload[:8]), "ascii"):  # the last one, once more
                why = start.record.get("tell") or start.record.get("told")
                if start.is_trial or why == "good":
                    await self.tell("good" if why else "trial", count)
                elif why:
                    await self.tell("back", count, why=why)
                return
            if count <= max(start.record.get("count", 0), download.count if download else 0):
                raise Refused("it is not newer than the last one")
            if start.is_trial:
                raise Refused("a trial is going on: send it again when that is over")
            self.download = None
            new.accept()
        except FAILURES as error:
            await self.tell("refused", count, payload, 0, why=words(error))
            return
        await self._go_on(new)

    def _make(self, payload: bytes, fields: "dict[str, str]") -> "blocks.Download":
        if fields["kind"] == "image":
            from . import image

            return image.Download(self.start, payload, self.key, fields)
        return blocks.Download(self.start, payload, self.key, fields)

    async def _go_on(self, download: "blocks.Download") -> None:
        """Find out what is there, and ask for the rest."""
        program = self.program
        gc.collect()
        try:
            download.begin()
            await self._prepare(download)
        except FAILURES as error:
            await self._give_up(download, error)
            return
        self.download = download
        self.silent_s = 0
        program.handlers["update/block"] = self.take_block
        self.quiet_s = QUIET_S
        if not self.task:
            self.task = asyncio.create_task(self.keep_asking())
        await self.tell("receiving", download.count, download.payload)
        await self._next()

    async def _prepare(self, download: "blocks.Download") -> None:
        for item in range(1, len(download.items)):
            download.prepare(item)
            self.start.feed()
            await asyncio.sleep(0)

    async def take_block(self, payload: bytes) -> None:
        """A block has arrived."""
        download = self.download
        if not download:
            return
        had_list = download.have[0] is None
        try:
            if not download.take(payload):
                return
            if not had_list and download.have[0] is None:
                await self._prepare(download)
        except FAILURES as error:
            await self._give_up(download, error)
            return
        self.quiet_s = QUIET_S
        self.silent_s = 0
        self.arrived.set()
        self.asked_for -= 1
        if self.asked_for <= 0 or not download.left:
            await self._next()

    async def _next(self) -> None:
        """All that was asked for is there: ask for more, or finish."""
        download = self.download
        if not download or self.is_ending:
            return
        self.is_ending = True
        try:
            if not download.left:
                for item in range(1, len(download.items)):
                    download.check(item)
                    self.start.feed()
                    await asyncio.sleep(0)
            if not download.left:
                download.finish()
                self.download = None
                await self.tell("trial", download.count, download.payload)
                self.program.stop("restart")
                return
        except FAILURES as error:
            await self._give_up(download, error)
            return
        finally:
            self.is_ending = False
        await self._ask()

    async def _ask(self) -> None:
        download = self.download
        if download:
            self.asked_for = min(WANTED_MAX, download.left)
            await self.program.publish("update/want", download.wanted(WANTED_MAX), 0)

    async def keep_asking(self) -> None:
        """Ask again when nothing comes: a want, or blocks, may have been lost, or nobody was there."""
        program = self.program
        client: "Any" = None
        while True:
            if program.client is not client and program.client:  # a board may change its connection
                client = program.client
                await client.subscribe(program.topic + "/update/block", 1)
                await self._ask()
            self.arrived.clear()
            was_connected = program.is_connected
            quiet_s = 0
            while not self.arrived.is_set() and quiet_s < self.quiet_s:
                try:
                    await asyncio.wait_for(self.arrived.wait(), 1)
                except asyncio.TimeoutError:
                    quiet_s += 1
                    self.silent_s += 1
                if program.is_connected and not was_connected:
                    break  # what was under way may be lost
                was_connected = program.is_connected
            if program.alone and self.download and self.silent_s > ALONE_S:
                await self._give_up(self.download, Refused("nobody has sent it"))
            if program.is_connected and not self.arrived.is_set():
                self.quiet_s = min(2 * self.quiet_s, QUIET_MAX_S)
                await self._ask()

    async def _give_up(self, download: "blocks.Download", error: Exception) -> None:
        """Nothing comes of an update that had begun."""
        self.download = None
        why = words(error)
        if isinstance(error, OSError) and error.errno == 28:
            why = "the flash is full"
        print("update:", why)
        try:
            download.give_up(why)
        except OSError as failure:
            print("update:", repr(failure))
        self.telling = asyncio.create_task(self.resume())  # not here: what arrives must be read meanwhile

    async def tell(self, state: str, count: int, payload: bytes = b"", qos: int = 1, **more: str) -> "Any":
        """Say how it stands with a manifest; without one, with the last one."""
        start = self.start
        words = {"state": state, "count": count, "half": start.half}
        words["release"] = str(blocks.content(start.ROOT + start.half + "/release"), "utf-8")
        words["id"] = str(hexlify(payload[:8]), "ascii") if payload else start.record.get("id", "")
        words.update(more)
        return await self.program.publish("update/state", json.dumps(words), qos, None, qos > 0)
