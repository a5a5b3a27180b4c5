"""Our own DynamoDB client: signed as botocore signs, answering as botocore answers."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from core.aws.codec import decode_item, encode_item
from core.aws.session import AwsClient, AwsSession
from core.aws.signing import CONTENT_TYPE, TARGET_PREFIX, Signer
from core.errors import ConditionFailedError, EndpointUnreachableError
from core.testing.clock import FakeClock
from tests.integration.test_local_durability import item, make_table
from tests.tables import delete_table
from tests.unit.aws.test_session import Server, answer, session

NOW_S = 1_800_000_000.0


@given(
    body=st.binary(max_size=200),
    token=st.one_of(st.none(), st.text("abcXYZ/+=", min_size=1)),
    path=st.sampled_from(["/", "/prefix/more"]),
    secret=st.text("abcdefgh0123/+", min_size=1),
)
def test_signed_as_botocore_signs(body: bytes, token: str | None, path: str, secret: str) -> None:
    """The authorization header is the one that botocore makes for the same request."""
    credentials = Credentials("AKID", secret, token)
    frozen = credentials.get_frozen_credentials()
    ours = Signer("example.com:8000", path, "eu-west-1").headers("Query", body, frozen, NOW_S)
    headers = {
        "Content-Type": CONTENT_TYPE,
        "X-Amz-Target": f"{TARGET_PREFIX}Query",
        "X-Amz-Date": ours["x-amz-date"],
    }
    if token:
        headers["X-Amz-Security-Token"] = token
    request = AWSRequest("POST", f"http://example.com:8000{path}", headers, body)
    request.context["timestamp"] = ours["x-amz-date"]
    auth = SigV4Auth(credentials, "dynamodb", "eu-west-1")
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    assert ours["authorization"].endswith(f"Signature={signature}")
    names = auth.signed_headers(auth.headers_to_sign(request))
    assert f"SignedHeaders={names}," in ours["authorization"]


def test_the_signing_key_follows_day_and_secret() -> None:
    """A new day or new credentials sign with a new key."""
    signer = Signer("h", "/", "r")
    found = {
        signer.headers("Query", b"", Credentials("a", secret).get_frozen_credentials(), now_s)[
            "authorization"
        ]
        for secret in ("one", "two")
        for now_s in (NOW_S, NOW_S + 86_400)
    }
    assert len(found) == 4


def test_both_clients_answer_alike(aws: AwsSession) -> None:
    """Every operation gives what botocore's client gives; binary survives both ways."""
    boto, wire = aws.client("dynamodb"), aws.dynamodb()
    assert boto is not wire
    make_table(boto)
    held = {**encode_item({"b": b"\x00\xff", "bs": {b"1", b"2"}, "l": [b"x", None]})}
    wire.put_item(TableName="notes", Item={**item("one", 1, "é\x00😀"), **held})
    key = {"p": {"S": "one"}, "s": {"N": "1"}}
    ours = wire.get_item(TableName="notes", Key=key)["Item"]
    theirs = boto.get_item(TableName="notes", Key=key)["Item"]
    assert decode_item(ours) == decode_item(theirs)
    assert ours["b"]["B"] == base64.b64encode(b"\x00\xff").decode()
    page = wire.query(
        TableName="notes",
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": {"S": "one"}},
    )
    assert page["Count"] == 1
    delete_table(aws, "notes")


def test_a_failed_condition_shows_what_stands_there(aws: AwsSession) -> None:
    """The item that the service sends along is in the error's cause, as botocore keeps it."""
    make_table(aws.client("dynamodb"))
    wire = aws.dynamodb()
    wire.put_item(TableName="notes", Item=item("one", 1, "first"))
    with pytest.raises(ConditionFailedError) as caught:
        wire.put_item(
            TableName="notes",
            Item=item("one", 1, "second"),
            ConditionExpression="attribute_not_exists(p)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    response: dict[str, Any] = getattr(caught.value.__cause__, "response", {})
    assert response["Item"]["text"] == {"S": "first"}
    delete_table(aws, "notes")


def test_a_garbled_answer_is_tried_again() -> None:
    """An answer whose checksum does not fit is not believed."""
    asked = 0

    def handle(connection: Any) -> None:
        nonlocal asked
        asked += 1
        body = b'{"Item":{}}'
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nx-amz-crc32: 1\r\n\r\n"
        connection.wfile.write(head.encode() + body)

    with Server(handle).running() as server:
        clock = FakeClock()
        with pytest.raises(EndpointUnreachableError):
            session(server.url, clock).dynamodb().get_item(TableName="xyz", Key={})
    assert asked == 8
    assert len(clock.slept) == 7


def test_behind_a_proxy_botocore_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a proxy is set, requests go through botocore, which knows proxies."""
    with Server(answer(200, b"{}")).running() as server:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.setenv("no_proxy", "")
        made = session("http://dynamodb.example:8000")
        assert isinstance(made.dynamodb(), AwsClient)
        assert made.dynamodb().get_item(TableName="xyz", Key={"p": {"S": "1"}}) is not None
        assert server.requests == 1
