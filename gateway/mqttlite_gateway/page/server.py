"""The page's server: aiohttp on an address of its own, beside everything else in the gateway's event loop.

async with Page(gateway, settings): ...
"""

import asyncio
import base64
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from mqttlite.broker.audit import audit
from mqttlite.broker.bounds.addresses import is_local, key_of
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.listening.activation import taken_for
from mqttlite.broker.listening.listen import is_local as is_local_socket
from mqttlite.broker.listening.listen import url_of
from mqttlite.broker.listening.listener import Tls
from mqttlite.broker.operating.loop_watch import LoopWatch
from mqttlite.broker.operating.metrics import CONTENT_TYPE

from ..operating.health import reasons
from ..operating.metrics import exposition
from ..running import Running
from ..settings.errors import ConfigError
from ..settings.page import NO_CERTIFICATE, PageSettings
from . import malformed
from .answers import Answers
from .boards import Boards
from .collect import KINDS, Collector
from .crowd import FIRST_REQUEST_S, KEEP_ALIVE_S, Arriving, Crowd
from .door import COOKIE, HEADERS, Door, address_of, own_names, read_json, refused
from .files import Files
from .jobs import Jobs
from .parts import Parts
from .people import LIFE_MS, TOO_MANY, LoginError, People, check_people, is_proxied
from .samples import STEP_S
from .streams import Streams, TooManyError
from .topics import InsideTopics, Topics, UpstreamTopics

log = logging.getLogger("mqttlite.gateway")

EVERY_S = 2.0  # while somebody looks
LOGINS_AT_ONCE = 2  # passwords that are looked at, 20 MiB and up to 100 ms each
LOGINS_WAITING = 20
BODY_MAX = 512 << 10  # bytes of a request


class Page:
    """`guard`: who has users (broker/access); None: the broker's inside. `tls`: for https://.

    Entering the block raises ConfigError. `url`: where it is, with the real port.
    """

    def __init__(
        self,
        gateway: Running,
        settings: PageSettings,
        *,
        guard: Callable[[], object] | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._tls = tls
        self.url = settings.listen
        self._people = People(guard or (lambda: gateway.broker and gateway.broker.guard), settings)
        names = own_names(settings.names)
        self._door = Door(self._people, names, settings.scheme == "https", now_ms)
        self._parts = Parts()
        self._streams = Streams(self._parts, self._door.may_stay)
        self._collector = Collector(gateway)
        self._jobs = Jobs(self._refresh_jobs)
        self._answers = Answers(gateway, self._collector, self._streams, _topics(gateway), self._door)
        boards = Boards(gateway, self._jobs, settings.boards, self._check)
        self._answers.looks |= boards.looks
        self._answers.acts |= boards.acts
        self._files = Files()
        self._loop_watch = LoopWatch()
        self._checks = asyncio.Semaphore(LOGINS_AT_ONCE)
        self._checking = 0
        self._crowd = Crowd(self._connections)
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        check_people(self._people, self._settings)
        middlewares = [self._door.make_middleware(), self._crowd.make_middleware()]
        app = web.Application(middlewares=middlewares, client_max_size=BODY_MAX)
        self._add_routes(app)
        self._runner = web.AppRunner(
            app, handle_signals=False, access_log=None, logger=malformed.log, keepalive_timeout=KEEP_ALIVE_S
        )
        await self._runner.setup()
        try:
            await self._listen()
        except BaseException:
            await self._runner.cleanup()
            raise
        await self._loop_watch.__aenter__()
        work = (self._keep_samples, self._show, self._crowd.close_silent)
        self._tasks = [asyncio.create_task(each(), name=f"page: {each.__name__}") for each in work]
        self._say()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._jobs.close()
        self._streams.close()
        for _ in range(20):
            if not len(self._streams):
                break
            await asyncio.sleep(0.05)
        for connection in list(self._connections()):
            if connection.transport:
                connection.transport.abort()
        await self._loop_watch.__aexit__(kind, error, trace)
        await self._runner.cleanup()

    # -- where it is

    async def _listen(self) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        context = None
        if settings.scheme == "https":
            if self._tls is None:
                raise ConfigError(NO_CERTIFICATE)
            try:
                context = self._tls.context(is_web=True)
            except ValueError as error:
                raise ConfigError(f"[page]: {error}") from None
        server = self._runner.server
        assert server is not None

        def connected() -> asyncio.Protocol:
            return Arriving(self._crowd, server)

        given = taken_for(settings.host, settings.port)
        more: dict[str, Any] = {"ssl": context, "backlog": 64}
        if context is not None:
            more["ssl_handshake_timeout"] = FIRST_REQUEST_S
        try:
            if given is not None:
                self._server = await loop.create_server(connected, sock=given, **more)
            else:
                self._server = await loop.create_server(
                    connected, settings.host, settings.port, reuse_address=True, **more
                )
        except OSError as error:
            raise ConfigError(f"[page]: cannot listen on {settings.listen}: {_why(error)}") from None
        self.url = url_of(self._server.sockets[0], f"{settings.scheme}://")

    def _say(self) -> None:
        assert self._server
        log.info("page on %s", self.url)
        if all(map(is_local_socket, self._server.sockets)):
            return
        host = socket.gethostname().partition(".")[0]
        port = self.url.rpartition(":")[2]
        log.info(
            "page: from another machine %s://%s.local:%s, or this machine's address", self._settings.scheme, host, port
        )
        if self._people.users is None:
            log.warning(
                "page: everybody who reaches %s may look and change things; nobody is asked for a name", self.url
            )

    def _connections(self) -> list[Any]:
        server = self._runner.server
        return list(server.connections) if server is not None else []

    # -- what goes on beside

    async def _keep_samples(self) -> None:
        while True:
            self._collector.sample(time.time())
            await asyncio.sleep(STEP_S - time.time() % STEP_S)

    async def _show(self) -> None:
        said = ""
        while True:
            if len(self._streams):
                try:
                    self._refresh()
                except Exception as error:  # a fault of ours: the gateway goes on
                    if repr(error) != said:
                        log.exception("page: unexpected error")
                    said = repr(error)
            await asyncio.sleep(EVERY_S)

    def _refresh(self) -> None:
        if self._parts.put_all(self._collector.parts(), KINDS):
            self._streams.wake()

    def _refresh_jobs(self) -> None:
        if self._parts.put_all(self._jobs.parts(), ("job",)):
            self._streams.wake()

    # -- what it answers

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._file("index.html"))
        app.router.add_get("/login", self._file("login.html"))
        app.router.add_get("/static/{name:.+}", self._static)
        app.router.add_post("/api/login", self._log_in)
        app.router.add_post("/api/logout", self._log_out)
        app.router.add_get("/events", self._events, allow_head=False)
        for path in self._answers.looks:
            app.router.add_get(path, self._answers.look)
        for path in self._answers.acts:
            app.router.add_post(path, self._answers.act)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)

    def _file(self, name: str) -> Any:
        async def answering(request: web.Request) -> web.StreamResponse:
            return self._files.answer(request, name)

        return answering

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        return self._files.answer(request, "" if name.endswith(".html") else name)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._refresh()
        try:
            visitor = self._door.visitor(request)
            assert visitor  # the door has let them in
            stream = self._streams.open(visitor)
        except TooManyError as error:
            return refused(503, str(error), {"Retry-After": "10"})
        response = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await self._streams.serve(request, stream, response)
        return response

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        try:
            found = await read_json(request)
            name, password = found["name"], found["password"]
            if not isinstance(name, str) or not isinstance(password, str):
                raise ValueError
        except (ValueError, LookupError, TypeError, TimeoutError):
            return refused(400, "name and password are missing")
        address = address_of(request)
        try:
            await self._check(name, password, address)
        except LoginError as error:
            if error.status != TOO_MANY:  # whose number nobody limits
                audit(f"page ({address})", f"login of user {name[:80]!a} refused: {error}")
            return refused(error.status, str(error), {"Retry-After": str(error.wait_s)} if error.wait_s else None)
        audit(f"page ({address})", f"user {name!a} has logged in")
        response = web.json_response({"name": name})
        response.set_cookie(
            COOKIE,
            self._people.open(name, now_ms()),
            max_age=LIFE_MS // 1000,
            httponly=True,
            samesite="Strict",
            secure=self._door.is_secure,
            path="/",
        )
        return response

    async def _check(self, name: str, password: str, address: str) -> None:
        """LoginError unless this is the password of a user who may be here."""
        answer = self._people.ask(name, password, address, now_ms())
        if callable(answer):
            if self._checking >= LOGINS_WAITING:
                raise LoginError("many are logging in now; try again in a few seconds", 503, 5)
            self._checking += 1
            try:
                async with self._checks:
                    answer = await asyncio.shield(asyncio.to_thread(answer))
            finally:
                self._checking -= 1
        self._people.answered(name, address, answer, now_ms())

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        self._people.close(request.cookies.get(COOKIE, ""))
        response = web.json_response({})
        response.del_cookie(COOKIE, path="/")
        return response

    # -- for other programs

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        if not await self._may_read(request):
            return _ask_for_name()
        text = exposition(self._gateway, self._loop_watch)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        """200 or 503 for everybody; why, for those who may look."""
        found = reasons(self._gateway)
        if not found:
            return web.Response(text="ok\n")
        may_read = await self._may_read(request)
        return web.Response(status=503, text="".join(f"{each}\n" for each in found) if may_read else "not ok\n")

    async def _may_read(self, request: web.Request) -> bool:
        """Programs of this machine, whoever has logged in, and whoever shows name and password with the request."""
        address = address_of(request)
        if is_local(key_of(address)) and not is_proxied(request.headers):
            return True
        if self._door.visitor(request) is not None:
            return True
        name, password = _basic(request.headers.get("Authorization", ""))
        if name:
            with contextlib.suppress(LoginError):
                await self._check(name, password, address)
                return True
        return False


def _topics(gateway: Running) -> Topics:
    if gateway.broker is not None:
        return InsideTopics(gateway.broker)
    return UpstreamTopics(gateway.config.upstream, gateway.config.tls)


def _basic(header: str) -> tuple[str, str]:
    """Name and password of HTTP's basic authentication, as Prometheus shows them; empty: none."""
    kind, _, data = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(data, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return name, password


def _ask_for_name() -> web.Response:
    headers = {"WWW-Authenticate": 'Basic realm="mqttlite", charset="UTF-8"'}
    return web.Response(status=401, text="log in, or show the name and password of a user\n", headers=headers)


def _why(error: OSError) -> str:
    if error.errno == 98:
        return "the port is in use; choose another one, or stop that program"
    if error.errno == 13:
        return "this port needs root; choose one from 1024 on"
    return error.strerror or str(error)
