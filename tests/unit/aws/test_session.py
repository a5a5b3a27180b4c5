"""Clients: what goes wrong on the way is a sentence with a cure, and ends in bounded time."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.aws.failures import _RETRYABLE_CONNECTION, translate
from core.aws.session import AwsSession
from core.errors import (
    AccessDeniedError,
    AwsError,
    CredentialsError,
    EndpointAnswerError,
    EndpointUnreachableError,
    IalError,
    RegionError,
    TargetError,
    ThrottledError,
)
from core.settings import load_settings
from core.testing.clock import FakeClock

Handle = Callable[[socketserver.StreamRequestHandler], None]


class Server:
    """A server on 127.0.0.1 that treats every request as it is told to."""

    def __init__(self, handle: Handle) -> None:
        self.requests = 0
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self._read_request():
                    outer.requests += 1
                    handle(self)
                    if self.wfile.closed:
                        return

            def _read_request(self) -> bool:
                length = 0
                first = self.rfile.readline()
                while (line := self.rfile.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.rfile.read(length)
                return bool(first)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Serves inside the block."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        yield self
        self._server.shutdown()
        thread.join()
        self._server.server_close()


def answer(status: int, body: bytes, length: int | None = None) -> Handle:
    """A handler that answers so; `length` is what it claims of its body."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {length or len(body)}\r\n\r\n".encode()

    def handle(connection: socketserver.StreamRequestHandler) -> None:
        connection.wfile.write(head + body)
        connection.wfile.flush()
        if length:
            connection.connection.close()
            connection.wfile.close()

    return handle


def error_body(code: str, message: str = "m") -> bytes:
    """DynamoDB's form of an error."""
    return f'{{"__type":"x#{code}","message":"{message}"}}'.encode()


def session(url: str, clock: FakeClock | None = None, **flags: Any) -> AwsSession:
    """A session with short patience."""
    given = {"endpoint_url": url, "read_timeout_s": 0.3, "connect_timeout_s": 0.3, **flags}
    return AwsSession(load_settings(given, environment={}).settings, clock=clock or FakeClock())


@pytest.fixture(params=["botocore", "wire"])
def speak(request: pytest.FixtureRequest) -> Speak:
    """One call, through botocore or through our own client: both must behave alike."""

    def call(made: AwsSession) -> Any:
        if request.param == "wire":
            return made.dynamodb().get_item(TableName="xyz", Key={"p": {"S": "1"}})
        return made.client("dynamodb").get_item(TableName="xyz", Key={"p": {"S": "1"}})

    return call


Speak = Callable[[AwsSession], Any]


def caught_from(handle: Handle, speak: Speak) -> tuple[IalError, int]:
    """What a call to such a server raises, and how often it was asked."""
    with Server(handle).running() as server:
        with pytest.raises(IalError) as caught:
            speak(session(server.url))
        return caught.value, server.requests


def test_nothing_listens_there(speak: Speak) -> None:
    """The sentence names the address, the cure a command."""
    with pytest.raises(EndpointUnreachableError, match=r"127\.0\.0\.1:1") as caught:
        speak(session("http://127.0.0.1:1"))
    assert "ialctl start" in (caught.value.cure or "")
    assert caught.value.exit_code == 4


def test_a_name_that_does_not_resolve(speak: Speak) -> None:
    """A wrong host name is an unreachable endpoint."""
    with pytest.raises(EndpointUnreachableError):
        speak(session("http://no-such-host.invalid:8000"))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>",
        b"",
        b"\x00\xff",
        b'"a string"',
        b"[1]",
        b'{"Item": 5',
    ],
)
def test_rubbish_is_named_as_such(body: bytes, speak: Speak) -> None:
    """An endpoint that is no AWS service is told from one that is."""
    error, _ = caught_from(answer(200, body), speak)
    assert isinstance(error, EndpointAnswerError)
    assert "--endpoint-url" in (error.cure or "")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"", b"<a><b></a>", b"<a/>"])
def test_rubbish_in_place_of_xml_is_named_as_such(body: bytes) -> None:
    """A service that speaks XML is held to it as well."""
    with Server(answer(200, body)).running() as server:
        client = session(server.url).client("cloudformation")
        with pytest.raises(EndpointAnswerError):
            client.describe_stacks()


@pytest.mark.parametrize("status", [404, 400, 301])
def test_an_error_page_is_not_an_aws_error(status: int, speak: Speak) -> None:
    """HTML with an error status is an endpoint that is no AWS service."""
    error, _ = caught_from(answer(status, b"<html>404</html>"), speak)
    assert isinstance(error, TargetError)


def test_an_endpoint_that_hangs_is_left_in_time(speak: Speak) -> None:
    """Attempts end with the retry time, not after the last of them."""
    clock = FakeClock()
    started = time.monotonic()
    hangs = Server(lambda _: time.sleep(0.6))
    with hangs.running(), pytest.raises(EndpointUnreachableError, match="in time"):
        speak(session(hangs.url, clock, retry_time_s=0.2))
    assert time.monotonic() - started < 10
    assert sum(clock.slept) <= 0.2


def test_an_answer_cut_in_the_middle_is_tried_again(speak: Speak) -> None:
    """A connection that closes mid-answer is retried, then named."""
    error, asked = caught_from(answer(200, b'{"Ite', length=50), speak)
    assert isinstance(error, EndpointUnreachableError)
    assert asked > 1


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("ExpiredTokenException", CredentialsError, "have expired"),
        ("UnrecognizedClientException", CredentialsError, "were refused"),
        ("AccessDeniedException", AccessDeniedError, "may not call GetItem"),
        ("OptInRequired", RegionError, "refused for this region"),
        ("SomethingNew", AwsError, "failed with SomethingNew: m"),
    ],
)
def test_each_refusal_has_its_own_sentence(
    code: str, kind: type[IalError], says: str, speak: Speak
) -> None:
    """Credentials, rights, regions and unknown codes are told apart, and not tried again."""
    error, asked = caught_from(answer(400, error_body(code)), speak)
    assert type(error) is kind
    assert says in error.what
    assert asked == 1


def test_a_wrong_clock_is_told_from_wrong_credentials(speak: Speak) -> None:
    """A signature that is out of time names the clock, not the credentials."""
    body = error_body("InvalidSignatureException", "Signature expired: 20260101T000000Z is now")
    error, _ = caught_from(answer(403, body), speak)
    assert "clock is off" in error.what


def test_throttling_is_tried_again_and_gives_its_reasons(speak: Speak) -> None:
    """A throttled request is retried with jitter; the error names table and reason."""
    body = (
        b'{"__type":"x#ProvisionedThroughputExceededException","message":"slow",'
        b'"ThrottlingReasons":[{"reason":"TableReadKeyRangeThroughputExceeded","resource":"t"}]}'
    )
    error, asked = caught_from(answer(400, body), speak)
    assert isinstance(error, ThrottledError)
    assert error.fields["reasons"] == (("TableReadKeyRangeThroughputExceeded", "t"),)
    assert asked == 8


def test_a_passing_fault_is_not_noticed(speak: Speak) -> None:
    """An answer after two server errors is an answer."""
    turns = iter([500, 503])

    def handle(connection: socketserver.StreamRequestHandler) -> None:
        status = next(turns, 200)
        body = b'{"Item":{"p":{"S":"1"}}}' if status == 200 else error_body("InternalServerError")
        answer(status, body)(connection)

    with Server(handle).running() as server:
        assert speak(session(server.url))["Item"] == {"p": {"S": "1"}}
        assert server.requests == 3


def test_no_credentials_and_no_region_on_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On AWS, missing credentials and a missing region each have their own cure."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    on_aws = load_settings({"target": "aws"}, environment={}).settings
    with pytest.raises(RegionError, match="No AWS region"):
        AwsSession(on_aws).client("dynamodb")
    with_region = load_settings({"target": "aws", "region": "eu-west-1"}, environment={}).settings
    with pytest.raises(CredentialsError, match="No AWS credentials"):
        AwsSession(with_region).client("dynamodb").list_tables()
    missing = load_settings(
        {"target": "aws", "region": "eu-west-1", "profile": "nope"}, environment={}
    ).settings
    with pytest.raises(CredentialsError, match="nope"):
        AwsSession(missing).client("dynamodb")


def test_an_emulator_never_sees_real_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the local target requests are signed with made-up keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREALREALREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    made = session("http://127.0.0.1:1")._boto("dynamodb")
    assert made._request_signer._credentials.access_key == "local"


def test_every_failure_of_botocore_is_a_target_error() -> None:
    """Each kind of connection failure is told as the target's, whatever its base class."""
    for kind in _RETRYABLE_CONNECTION:
        fields = {"endpoint_url": "u", "error": "e", "request": None, "response": None}
        assert type(translate(kind(**fields), "there", "Query")) is EndpointUnreachableError


def test_one_client_a_service() -> None:
    """Asked again, the same client answers: its connections are kept alive."""
    made = session("http://127.0.0.1:1")
    assert made.client("dynamodb") is made.client("dynamodb")
