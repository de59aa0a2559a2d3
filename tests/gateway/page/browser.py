"""A headless Chromium, driven over its DevTools protocol: one for all tests of a session, a context of its own each."""

import asyncio
import base64
import contextlib
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import websockets

from tests import runtimes
from tests.peers import unavailable

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WAIT_S = 30.0


async def leave(writer: asyncio.StreamWriter) -> None:
    """Cut a connection that a test has opened by itself; returns when it is gone."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.contextmanager
def chromium() -> Iterator[str]:
    """A browser that runs; the address of its DevTools."""
    program = next(filter(None, map(runtimes.installed, BROWSERS)), None) or unavailable("Chromium")
    with tempfile.TemporaryDirectory(prefix="mqttlite-chromium-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--hide-scrollbars", "--font-render-hinting=none", "--remote-debugging-port=0",
                f"--user-data-dir={folder}/profile", "about:blank",
            ],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert process.stderr
            for line in process.stderr:
                if line.startswith("DevTools listening on "):
                    yield line.split()[-1]
                    return
            raise AssertionError("Chromium has ended")
        finally:
            process.kill()
            process.wait()
            assert process.stderr
            process.stderr.close()


class Tab:
    """A page of the browser. `errors`: what its scripts have not caught, and what was blocked."""

    def __init__(self, devtools: "DevTools", session: str) -> None:
        self._devtools = devtools
        self._session = session
        self.errors: list[str] = []
        self.dialogs: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol."""
        return await self._devtools.call(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        """Load a page."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def ask(self, script: str) -> Any:
        """What an expression is, promises awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    async def until(self, script: str, wait_s: float = WAIT_S) -> Any:
        """Wait until an expression is true; what it is."""
        wanted = f"""new Promise(resolve => {{
            const look = () => {{
                let found;
                try {{ found = {script} }} catch (error) {{ found = false }}
                if (found) resolve(found); else setTimeout(look, 20);
            }};
            look();
        }})"""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    try:
                        return await self.ask(wanted)
                    except (AssertionError, RuntimeError) as error:  # the page went away meanwhile
                        if "context" not in str(error) and "navigated" not in str(error):
                            raise
                        await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.ask("document.body?.innerText ?? ''")
            raise AssertionError(f"not within {wait_s:g} s: {script}\n{self.errors}\n{text[:3000]}") from None

    async def text(self, selector: str) -> str:
        """The text of an element, as it is seen."""
        found = await self.until(f"document.querySelector({selector!r})")
        assert found is not None
        return str(await self.ask(f"document.querySelector({selector!r}).innerText"))

    async def click(self, selector: str) -> None:
        """Press it, once it is there."""
        await self.until(f"document.querySelector({selector!r})?.getClientRects().length")
        await self.ask(f"document.querySelector({selector!r}).click()")

    async def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.until(f"document.querySelector({selector!r})")
        await self.ask(f"document.querySelector({selector!r}).focus()")
        await self.ask(f"document.querySelector({selector!r}).select?.()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, code: int = 0, text: str = "", modifiers: int = 0) -> None:
        """A key, down and up."""
        which: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **which, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **which)

    async def size(self, width: int, height: int, *, is_phone: bool = False, scale: float = 1) -> None:
        """Of what is seen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone
        )

    async def dark(self, is_dark: bool = True) -> None:
        """What the system prefers."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        """A screenshot, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        path.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240


class DevTools:
    """The connection to a browser."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self._tabs: dict[str, Tab] = {}

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """A command; its result."""
        self._last += 1
        number = self._last
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        request: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        await self._connection.send(json.dumps(request))
        return await future

    async def listen(self) -> None:
        """For ever."""
        async for text in self._connection:
            message = json.loads(text)
            if future := self._answers.pop(message.get("id", 0), None):
                if not future.done():
                    if "error" in message:
                        future.set_exception(RuntimeError(message["error"]["message"]))
                    else:
                        future.set_result(message["result"])
                continue
            tab = self._tabs.get(message.get("sessionId", ""))
            if tab:
                self._note(tab, message["method"], message["params"])

    def _note(self, tab: Tab, method: str, found: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            tab.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and found["entry"]["source"] in ("security", "javascript"):
            tab.errors.append(found["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            tab.dialogs.append(found["message"])

    async def tab(self) -> Tab:
        """A new one, that shares nothing with others."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = (await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.size(1280, 800)
        return tab


@contextlib.asynccontextmanager
async def devtools(address: str) -> AsyncIterator[DevTools]:
    """A connection to a browser, as `chromium` has it."""
    async with websockets.connect(address, max_size=None) as connection:
        found = DevTools(connection)
        task = asyncio.create_task(found.listen())
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
