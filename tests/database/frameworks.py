"""Databases as SQLAlchemy and Django have them, for the tests of inbox and outbox: worlds as those of the drivers."""

import itertools
from typing import Any

import django
import sqlalchemy
import sqlalchemy.ext.asyncio as asynchronous
from django.conf import settings
from django.db import connections
from sqlalchemy import orm

from mqttlite.database import Database, django_database, sqlalchemy_database
from tests.database.world import World

SQLALCHEMY = {
    "engine": ("sqlite", "postgresql+psycopg"),
    "sessionmaker": ("sqlite",),
    "connection": ("sqlite",),
    "session": ("postgresql+psycopg",),
    "async_engine": ("sqlite+aiosqlite", "postgresql+asyncpg"),
    "async_sessionmaker": ("postgresql+psycopg",),
    "async_connection": ("sqlite+aiosqlite",),
    "async_session": ("postgresql+asyncpg",),
}
KINDS = [
    *(f"{kind} {dialect}" for kind, dialects in SQLALCHEMY.items() for dialect in dialects),
    "django sqlite",
    "django postgresql",
]
_aliases = itertools.count()

if not settings.configured:
    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
    django.setup()


class FrameworkWorld(World):
    """`kind`: one of KINDS."""

    def __init__(self, kind: str, place: Any) -> None:
        super().__init__("sqlite" if "sqlite" in kind else "psycopg", place)
        self.framework = kind

    async def connect(self) -> Database:
        what, _, dialect = self.framework.partition(" ")
        if what == "django":
            made = django_database(self._alias(dialect))
            self._opened.append(made)
            return made
        engine, source = await self._source(what, dialect)
        self._opened.append(_Disposed(engine, source))
        return sqlalchemy_database(source)

    def _alias(self, vendor: str) -> str:
        alias = f"alias{next(_aliases)}"
        engine = {"sqlite": "sqlite3", "postgresql": "postgresql"}[vendor]
        found = {"ENGINE": f"django.db.backends.{engine}", "NAME": str(self.place)}
        if vendor == "postgresql":
            host, _, schema = str(self.place).partition("host=")[2].partition("&options=-csearch_path%3D")
            found |= {
                "NAME": "postgres",
                "USER": "test",
                "HOST": host,
                "OPTIONS": {"options": f"-csearch_path={schema}"},
            }
        connections.databases[alias] = {**connections.databases["default"], **found}
        return alias

    async def _source(self, what: str, dialect: str) -> tuple[Any, Any]:
        url: Any = f"{dialect}:///{self.place}"
        arguments: dict[str, Any] = {}
        if "postgresql" in dialect:
            host, _, schema = str(self.place).partition("host=")[2].partition("&options=-csearch_path%3D")
            url = sqlalchemy.URL.create(dialect, "test", database="postgres", query={"host": host})
            if dialect.endswith("asyncpg"):
                arguments["connect_args"] = {"server_settings": {"search_path": schema}}
            else:
                arguments["connect_args"] = {"options": f"-csearch_path={schema}"}
        if what.startswith("async"):
            engine: Any = asynchronous.create_async_engine(url, **arguments)
            return engine, {
                "async_engine": lambda: engine,
                "async_sessionmaker": lambda: asynchronous.async_sessionmaker(engine),
                "async_session": lambda: asynchronous.AsyncSession(engine),
                "async_connection": lambda: None,
            }[what]() or await engine.connect()
        engine = sqlalchemy.create_engine(url, **arguments)
        return engine, {
            "engine": lambda: engine,
            "sessionmaker": lambda: orm.sessionmaker(engine),
            "session": lambda: orm.Session(engine),
            "connection": lambda: engine.connect(),
        }[what]()


class _Disposed:
    """An engine, and what was opened of it."""

    def __init__(self, engine: Any, source: Any) -> None:
        self._engine = engine
        self._source = source

    def close(self) -> Any:
        if hasattr(self._engine, "sync_engine"):
            return self._close()
        if self._source is not self._engine and not hasattr(self._source, "kw"):
            self._source.close()
        self._engine.dispose()
        return None

    async def _close(self) -> None:
        if self._source is not self._engine and not hasattr(self._source, "kw"):
            await self._source.close()
        await self._engine.dispose()
