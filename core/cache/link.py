"""Commands to Redis and their answers, for threads and for coroutines; nothing is tried twice.

redis-py's connections and pools, without its client: one write and one read a round trip, and the
run id of the server, asked for when a connection is made, comes with every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from core.cache.plans import Answer, Command
from core.errors import SettingsError

FAILURES = (RedisError, OSError)
"""What a link raises when Redis is not well."""


@dataclass(frozen=True)
class LinkOptions:
    """How long to wait for Redis, and how many connections to hold at most."""

    connect_s: float = 0.05
    read_s: float = 0.05
    connections: int = 64


class Link:
    """A pool of connections to one Redis. Thread-safe; coroutines of any loop may use it too.

    Raises:
        SettingsError: the URL is not one of a Redis.
    """

    def __init__(self, url: str, options: LinkOptions | None = None) -> None:
        self._url = url
        self._options = options or LinkOptions()
        self._pool: Any = self._make_pool()
        # Connections of asyncio belong to the loop that made them.
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    def execute(self, commands: Sequence[Command]) -> Answer:
        """Sends all commands at once and reads all replies.

        Raises:
            redis.exceptions.RedisError, OSError: Redis is not well, or refused a command.
        """
        connection = self._pool.get_connection()
        complete = False
        try:
            packed = connection.pack_commands(commands)
            connection.send_packed_command(packed, check_health=False)
            replies = [connection.read_response() for _ in commands]
            complete = True
        finally:
            # Replies that nobody read would answer the next one's commands.
            if not complete:
                connection.disconnect()
            self._pool.release(connection)
        return Answer(connection.ial_server, replies)

    async def execute_async(self, commands: Sequence[Command]) -> Answer:
        """The same for a coroutine."""
        pool = self._loop_pool()
        connection = await pool.get_connection()
        complete = False
        try:
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)
            replies = [await connection.read_response() for _ in commands]
            complete = True
        finally:
            if not complete:
                await connection.disconnect(nowait=True)
            await pool.release(connection)
        return Answer(connection.ial_server, replies)

    def connection(self, read_s: float) -> Any:
        """A connection of its own, outside of the pool, for one who listens; not connected yet."""
        kwargs = {**self._pool.connection_kwargs, "socket_timeout": read_s}
        return self._pool.connection_class(**kwargs)

    def close(self) -> None:
        """Closes what threads used; `close_async` what the running loop did."""
        self._pool.disconnect(inuse_connections=False)

    async def close_async(self) -> None:
        """Closes the running loop's connections."""
        pool = self._loops.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.disconnect()

    def _make_pool(self) -> Any:
        try:
            return redis.ConnectionPool.from_url(
                self._url,
                retry=Retry(NoBackoff(), 0),
                redis_connect_func=_greet,
                **self._arguments(),
            )
        except (ValueError, TypeError) as error:
            raise SettingsError(
                f"'{_without_password(self._url)}' is not the URL of a Redis: {error}.",
                "Write it like redis://host:6379/0, or rediss:// for TLS.",
            ) from error

    def _loop_pool(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = redis.asyncio.ConnectionPool.from_url(
                self._url,
                retry=AsyncRetry(NoBackoff(), 0),
                redis_connect_func=_greet_async,
                **self._arguments(),
            )
        return self._loops[loop]

    def _arguments(self) -> dict[str, Any]:
        return {
            "socket_connect_timeout": self._options.connect_s,
            "socket_timeout": self._options.read_s,
            "max_connections": self._options.connections,
            "protocol": 2,
            "driver_info": None,  # saves a round trip a connection
        }


def _without_password(url: str) -> str:
    before, at, host = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{host}" if at else url


def _greet(connection: Any) -> None:
    connection.on_connect_check_health(check_health=False)
    connection.send_command("INFO", "server", check_health=False)
    connection.ial_server = _run_id(connection.read_response())


async def _greet_async(connection: Any) -> None:
    await connection.on_connect_check_health(check_health=False)
    await connection.send_command("INFO", "server", check_health=False)
    connection.ial_server = _run_id(await connection.read_response())


def _run_id(info: bytes) -> bytes:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id" and value:
            return value
    # Without it, what an old snapshot brings back could not be told from what is true.
    raise ResponseError("INFO server tells no run_id")
