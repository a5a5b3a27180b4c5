"""Delays and faults between an engine and its endpoint."""

from __future__ import annotations

import contextlib
import random
import socket
import threading

import pytest
import urllib3

from core.aws.session import AwsSession
from core.benchmark.layouts.exchanges import Exchanges, Faults
from core.benchmark.layouts.forwarder import Forwarder
from core.errors import UsageError
from core.settings import Settings
from core.testing.clock import FakeClock


def answered() -> urllib3.BaseHTTPResponse:
    """What an endpoint says."""
    return urllib3.HTTPResponse(b"{}", status=200, preload_content=True)


def test_a_stated_delay_is_waited_before_each_request_and_counts() -> None:
    """A request takes at least so long, as one to a region does."""
    clock = FakeClock()
    exchanges = Exchanges(clock, random.Random(1), delay_s=0.005)
    for _ in range(3):
        assert exchanges("Query", answered).status == 200
    waited = exchanges.take()
    assert waited.requests == 3
    assert waited.seconds == pytest.approx(0.015, rel=1e-3)
    assert exchanges.take().requests == 0


def test_shares_of_requests_are_throttled_and_slowed() -> None:
    """About as many as were asked for, and none once the faults are gone."""
    clock = FakeClock()
    exchanges = Exchanges(clock, random.Random(1), faults=Faults(0.2, 0.5, 100.0))
    codes = [exchanges("Query", answered).status for _ in range(1000)]
    assert 150 < codes.count(400) < 250
    assert 30 < sum(clock.slept) < 50
    exchanges.faults = Faults()
    assert {exchanges("Query", answered).status for _ in range(100)} == {200}


def test_a_throttled_request_is_tried_again_as_any_other_would_be(settings: Settings) -> None:
    """The fault is DynamoDB's own answer: what retries there retries here."""
    faults = Faults(throttled=0.3)
    exchanges = Exchanges(FakeClock(), random.Random(1), faults=faults)
    clock = FakeClock()
    session = AwsSession(settings, None, clock, around=exchanges)
    tables = session.client("dynamodb").list_tables  # not the quick client: no fault there
    assert "TableNames" in tables()
    session.client("dynamodb").create_table(
        TableName=settings.project,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(20):
        session.dynamodb().put_item(TableName=settings.project, Item={"k": {"S": str(number)}})
    assert exchanges.take().requests > 22
    assert clock.slept


def test_a_forwarder_hands_on_until_it_is_cut() -> None:
    """Both ways; afterwards nobody answers, and open connections have ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo() -> None:
            near, _ = server.accept()
            with near, contextlib.suppress(ConnectionResetError):
                near.sendall(near.recv(100).upper())
                near.recv(100)

        threading.Thread(target=echo, daemon=True).start()
        url = f"redis://user:secret@127.0.0.1:{server.getsockname()[1]}/3"
        with Forwarder(url) as forwarder:
            assert forwarder.url.startswith("redis://user:secret@127.0.0.1:")
            assert forwarder.url.endswith("/3")
            port = int(forwarder.url.rpartition(":")[2].partition("/")[0])
            with socket.create_connection(("127.0.0.1", port)) as held:
                held.sendall(b"ping")
                assert held.recv(100) == b"PING"
                forwarder.cut()
                with contextlib.suppress(ConnectionResetError):
                    assert held.recv(100) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            forwarder.mend()
            socket.create_connection(("127.0.0.1", port)).close()


def test_a_forwarder_takes_only_what_it_can_forward() -> None:
    """TLS would name another host, a socket file has no port."""
    for url in ("rediss://127.0.0.1:6379", "unix:///run/redis.sock"):
        with pytest.raises(UsageError, match="plain redis://"):
            Forwarder(url)
