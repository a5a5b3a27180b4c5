"""DynamoDB's data plane without botocore's request machinery.

botocore spends seven times as long on a small Query as the HTTP request itself takes: it walks
the service model for every value, both ways. Here the body is written and read by orjson, the
signing key is kept for its day, and the connection pool is urllib3's own. Credentials come from
botocore's chain, refreshed by it; errors, retries and throttling reasons are those of every other
client, because what goes wrong is raised as botocore would raise it and translated in one place.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import orjson
import urllib3
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3 import exceptions as http

from core.aws.failures import translate
from core.aws.signing import Frozen, Signer
from core.clock import Clock
from core.errors import EndpointUnreachableError, IalError
from core.resilience.retry import Retrier

OPERATIONS: Mapping[str, str] = {
    "batch_execute_statement": "BatchExecuteStatement",
    "batch_get_item": "BatchGetItem",
    "batch_write_item": "BatchWriteItem",
    "delete_item": "DeleteItem",
    "get_item": "GetItem",
    "put_item": "PutItem",
    "query": "Query",
    "scan": "Scan",
    "transact_write_items": "TransactWriteItems",
    "update_item": "UpdateItem",
}


Exchange: TypeAlias = Callable[[], urllib3.BaseHTTPResponse]
"""One request sent and its answer read; may be called once."""
Around: TypeAlias = Callable[[str, Exchange], urllib3.BaseHTTPResponse]
"""Makes the exchange of an operation (`GetItem`), at every try: to count it, delay it, fail it."""


def plainly(_: str, exchange: Exchange) -> urllib3.BaseHTTPResponse:
    """Makes the exchange, no more."""
    return exchange()


class Credentials(Protocol):
    """botocore's credentials, which refresh themselves."""

    def get_frozen_credentials(self) -> Frozen:
        """The credentials of this instant."""


@dataclass(frozen=True)
class Connection:
    """Where to connect, how long to wait (seconds), and whom to trust."""

    endpoint_url: str
    region: str
    connect_timeout_s: float
    read_timeout_s: float
    pool_size: int
    user_agent: str
    ca_bundle: str | None = None


class WireClient:
    """A DynamoDB client: `client.query(TableName=…)` takes and gives what boto3's does.

    Only binary values differ: in answers they are base64 text, as DynamoDB wrote them
    (`core.aws.codec` decodes both). Thread-safe. Raises subclasses of `IalError` only.
    """

    def __init__(
        self,
        connection: Connection,
        credentials: Callable[[], Credentials | None],
        retrier: Retrier,
        clock: Clock,
        where: str,
        cure: str | None = None,
        around: Around = plainly,
    ) -> None:
        """`credentials` finds them when first needed; `where` is the target in words."""
        parts = urlsplit(connection.endpoint_url)
        self._path = parts.path or "/"
        self._pool = _pool(connection, parts.scheme, parts.hostname or "", parts.port)
        self._signer = Signer(parts.netloc, self._path, connection.region)
        self._agent = connection.user_agent
        self._find_credentials = credentials
        self._credentials: Credentials | None = None
        self._retrier = retrier
        self._clock = clock
        self._where = where
        self._cure = cure
        self._around = around

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = OPERATIONS.get(name)
        if operation is None:
            raise AttributeError(name)

        def call(**arguments: Any) -> dict[str, Any]:
            return self._call(operation, arguments)

        self.__dict__[name] = call
        return call

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        body = orjson.dumps(arguments, default=_binary)
        try:
            return self._retrier(lambda: self._attempt(operation, body))
        except (boto.BotoCoreError, boto.ClientError, ResponseParserError) as error:
            raise self._translated(error, operation) from error

    def _translated(self, error: Exception, operation: str) -> IalError:
        translated = translate(error, self._where, operation)
        if self._cure and isinstance(translated, EndpointUnreachableError):
            translated.cure = self._cure
        return translated

    def _attempt(self, operation: str, body: bytes) -> dict[str, Any]:
        if self._credentials is None:
            self._credentials = self._find_credentials()
            if self._credentials is None:
                raise boto.NoCredentialsError
        frozen = self._credentials.get_frozen_credentials()
        headers = self._signer.headers(operation, body, frozen, self._clock.time())
        headers["user-agent"] = self._agent
        response = self._post(operation, body, headers)
        answer = _parsed(response.data, response.headers.get("x-amz-crc32"))
        if response.status == 200 and answer is not None:
            return answer
        raise _failure(response.status, answer, response.data, operation)

    def _post(
        self, operation: str, body: bytes, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        url = self._where

        def exchange() -> urllib3.BaseHTTPResponse:
            return self._pool.urlopen(
                "POST", self._path, body=body, headers=headers, retries=False, redirect=False
            )

        try:
            return self._around(operation, exchange)
        except http.SSLError as error:
            raise boto.SSLError(endpoint_url=url, error=error) from error
        except http.NewConnectionError as error:
            raise boto.EndpointConnectionError(endpoint_url=url, error=error) from error
        except http.ConnectTimeoutError as error:
            raise boto.ConnectTimeoutError(endpoint_url=url, error=error) from error
        except http.ReadTimeoutError as error:
            raise boto.ReadTimeoutError(endpoint_url=url, error=error) from error
        except (http.HTTPError, OSError) as error:
            raise boto.ConnectionClosedError(
                endpoint_url=url, request=None, response=None, error=error
            ) from error


def _pool(
    connection: Connection, scheme: str, host: str, port: int | None
) -> urllib3.HTTPConnectionPool:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(
            connect=connection.connect_timeout_s, read=connection.read_timeout_s
        ),
        "maxsize": connection.pool_size,
    }
    if scheme == "http":
        return urllib3.HTTPConnectionPool(host, port, **options)
    return urllib3.HTTPSConnectionPool(
        host, port, ca_certs=connection.ca_bundle, cert_reqs="CERT_REQUIRED", **options
    )


def _parsed(data: bytes, checksum: str | None) -> dict[str, Any] | None:
    """The answer as an object; None where it is none.

    Raises:
        ResponseStreamingError: it was garbled on its way; worth another try.
    """
    if checksum is not None and checksum != str(zlib.crc32(data)):
        raise boto.ResponseStreamingError(error="the checksum does not fit")
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _failure(status: int, answer: dict[str, Any] | None, data: bytes, operation: str) -> Exception:
    """What botocore would have raised for this answer."""
    if answer is None and status < 300:
        rubbish: Exception = ResponseParserError(f"{data[:60]!r} is not a JSON object")
        return rubbish
    answer = answer or {}
    code = str(answer.pop("__type", answer.pop("code", status))).rpartition("#")[2]
    message = answer.pop("message", None) or answer.pop("Message", "")
    parsed = {
        **answer,
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error: Exception = boto.ClientError(parsed, operation)
    return error


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not a wire value")
