"""The only place that makes AWS clients.

Every client has timeouts, retries bounded in number and total time, a pool of kept-alive
connections and our user agent, and raises only errors of `core.errors`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from core import __version__
from core.aws.failures import is_retryable, is_throttling, refuse_rubbish, translate
from core.aws.wire import Around, Connection, WireClient, plainly
from core.clock import SYSTEM_CLOCK, Clock
from core.errors import EndpointAnswerError, EndpointUnreachableError, IalError, RegionError
from core.resilience.retry import Retrier, RetryPolicy
from core.settings import Settings

LOCAL_ACCESS_KEY = "local"
LOCAL_REGION = "us-east-1"
POOL_SIZE = 50
_EMBEDDED_CURE = (
    "Run the same command again: it brings the local endpoint back, with all it acknowledged."
)
# What an operation of botocore's may raise: the last ones where an answer is JSON or XML, but not
# of the operation's shape.
_RAISED = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
)


class AwsClient:
    """An AWS client whose operations are those of boto3: `client.put_item(TableName=…)`.

    Each operation takes boto3's keyword arguments and returns boto3's answer as a dict.
    Thread-safe. Raises subclasses of `IalError` only.
    """

    def __init__(self, client: Any, where: str, retrier: Retrier, cure: str | None = None) -> None:
        """Wraps a client; `cure` is what to do where the endpoint can't be reached."""
        self._client = client
        self._where = where
        self._cure = cure
        self._retrier = retrier

    @property
    def endpoint_url(self) -> str:
        """Where its requests go."""
        return str(self._client.meta.endpoint_url)

    def retried_by(self, retrier: Retrier) -> AwsClient:
        """The same client with other retries."""
        return AwsClient(self._client, self._where, retrier, self._cure)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = getattr(self._client, name)

        def call(**arguments: Any) -> dict[str, Any]:
            return self._call(name, operation, arguments)

        self.__dict__[name] = call
        return call

    def _call(
        self, name: str, operation: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        called = self._client.meta.method_to_api_mapping.get(name, name)
        try:
            answer = self._retrier(lambda: self._attempt(operation, arguments))
        except _RAISED as error:
            raise self._translated(error, called) from error
        if not isinstance(answer, dict):
            raise EndpointAnswerError(
                f"The answer to {called} from {self._where} is not an object."
            )
        return answer

    def _attempt(self, operation: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        try:
            return operation(**arguments)
        except HTTPError as error:
            # A body that ends before its length: botocore lets urllib3's own error through.
            raise ConnectionClosedError(endpoint_url=self._where, error=error) from error

    def _translated(self, error: Exception, called: str) -> IalError:
        translated = translate(error, self._where, called)
        if self._cure and isinstance(translated, EndpointUnreachableError):
            translated.cure = self._cure
        return translated


class AwsSession:
    """Makes clients for one target, one per service. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        endpoint_url: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        *,
        around: Around = plainly,
    ) -> None:
        """A session for `settings`; `endpoint_url` is the embedded endpoint's, where it is used.

        `around` makes each exchange of the quick client (see `Around`).
        """
        self._settings = settings
        self.endpoint_url = endpoint_url or settings.endpoint_url
        self._clock = clock
        self._around = around
        self._clients: dict[str, AwsClient] = {}
        self._wire: AwsClient | WireClient | None = None
        self._lock = threading.Lock()
        policy = RetryPolicy(total_s=settings.retry_time_s)
        self._retrier = Retrier(policy, is_retryable, clock=clock)
        self._impatient = Retrier(
            policy, lambda error: is_retryable(error) and not is_throttling(error), clock=clock
        )

    @property
    def where(self) -> str:
        """The target in words."""
        if self._settings.uses_embedded_endpoint:
            return f"the local endpoint {self.endpoint_url}"
        if self.endpoint_url:
            return f"the endpoint {self.endpoint_url}"
        return f"AWS in {self.region}"

    @property
    def region(self) -> str:
        """The region that clients talk to.

        Raises:
            RegionError: neither the settings nor the AWS profile name one.
        """
        if self._settings.region:
            return self._settings.region
        if self._settings.target == "local":
            return LOCAL_REGION
        try:
            found = self._botocore().get_config_variable("region")
        except BotoCoreError as error:
            raise translate(error, "AWS", "the configuration") from error
        if not found:
            raise RegionError("No AWS region is set.", "Name one: `--region us-east-1`.")
        return str(found)

    def client(self, service: str) -> AwsClient:
        """The client of a service, such as "dynamodb"; the same one at every call."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def dynamodb(self) -> AwsClient | WireClient:
        """DynamoDB's data plane, quick; the same client at every call.

        Behind a proxy it is botocore's own, which knows how to go through one.
        """
        boto_client = self.client("dynamodb")
        with self._lock:
            if self._wire is None:
                self._wire = self._make_wire(boto_client, self._retrier)
            return self._wire

    def bulk_dynamodb(self) -> AwsClient | WireClient:
        """As `dynamodb`, for whole tables: throttling is raised at once, for the caller to slow
        down, and not waited out request by request. A new client at every call."""
        return self._make_wire(self.client("dynamodb"), self._impatient)

    def _make_wire(self, boto_client: AwsClient, retrier: Retrier) -> AwsClient | WireClient:
        endpoint_url = boto_client.endpoint_url
        if get_environ_proxies(endpoint_url):
            return boto_client.retried_by(retrier)
        connection = Connection(
            endpoint_url=endpoint_url,
            region=self.region,
            connect_timeout_s=self._settings.connect_timeout_s,
            read_timeout_s=self._settings.read_timeout_s,
            pool_size=POOL_SIZE,
            user_agent=f"ialctl/{__version__} botocore/{botocore.__version__}",
            ca_bundle=self._botocore().get_config_variable("ca_bundle") or get_cert_path(True),
        )
        return WireClient(
            connection,
            self._botocore().get_credentials,
            retrier,
            self._clock,
            self.where,
            self._cure,
            self._around,
        )

    @property
    def _cure(self) -> str | None:
        return _EMBEDDED_CURE if self._settings.uses_embedded_endpoint else None

    def boto3_session(self) -> boto3.Session:
        """A boto3 session of this target, for libraries that make their own clients."""
        return boto3.Session(botocore_session=self._botocore(), region_name=self.region)

    def _botocore(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._settings.profile)
        if self._settings.target == "local":
            # An emulator takes any credentials; it must never be sent the user's real ones.
            session.set_credentials(LOCAL_ACCESS_KEY, LOCAL_ACCESS_KEY)
        return session

    def _make(self, service: str) -> AwsClient:
        try:
            client = self._boto(service)
        except (BotoCoreError, ValueError) as error:
            raise translate(error, self.where, service) from error
        return AwsClient(client, self.where, self._retrier, self._cure)

    def _boto(self, service: str) -> Any:
        settings = self._settings
        client = self._botocore().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            config=Config(
                connect_timeout=settings.connect_timeout_s,
                read_timeout=settings.read_timeout_s,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=POOL_SIZE,
                tcp_keepalive=True,
                user_agent_extra=f"ialctl/{__version__}",
                s3={"addressing_style": "path"} if self.endpoint_url else None,
            ),
        )
        if client.meta.service_model.protocol == "json":
            client.meta.events.register("before-parse", refuse_rubbish)
        return client
