"""Turns what botocore raises into this project's errors, each with its cure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from core.errors import (
    AWS_CODES,
    AccessDeniedError,
    AwsError,
    CredentialsError,
    EndpointAnswerError,
    EndpointUnreachableError,
    IalError,
    RegionError,
    StorageError,
    TargetError,
    ThrottledError,
)

_RETRYABLE_CONNECTION = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ReadTimeoutError,
    boto.ConnectionClosedError,
    boto.ResponseStreamingError,
    boto.HTTPClientError,
)
_RETRYABLE_CODES = frozenset(
    {"InternalServerError", "InternalError", "InternalFailure", "ServiceUnavailable"}
    | {code for code, known in AWS_CODES.items() if known is ThrottledError}
)


def is_retryable(error: BaseException) -> bool:
    """True where the same request may succeed a moment later."""
    if isinstance(error, boto.SSLError | boto.ProxyConnectionError):
        return False
    if isinstance(error, _RETRYABLE_CONNECTION):
        return True
    if not isinstance(error, boto.ClientError):
        return False
    code, status = _code(error), _status(error)
    if status == 507:  # the local endpoint's disk is full: a moment later it still is
        return False
    return code in _RETRYABLE_CODES or (status >= 500 and code.isalpha())


def is_throttling(error: BaseException) -> bool:
    """True where the service asks for fewer requests."""
    return isinstance(error, boto.ClientError) and AWS_CODES.get(_code(error)) is ThrottledError


def translate(error: Exception, where: str, operation: str) -> IalError:
    """The error of ours that stands for `error`.

    Args:
        error: what botocore raised.
        where: the target in words, such as "the endpoint http://127.0.0.1:4566".
        operation: the AWS operation that failed.
    """
    if isinstance(error, boto.ClientError):
        return _from_answer(error, where, operation)
    for kinds, make in _TRANSLATIONS:
        if isinstance(error, kinds):
            return make(_short(str(error)), where, operation)
    told = "" if isinstance(error, ResponseParserError) else f": {_short(str(error))}"
    return EndpointAnswerError(
        f"The answer to {operation} from {where} is not one of AWS{told}.",
        "Is that an AWS endpoint? Check `--endpoint-url`.",
    )


# Signature Version 4 is good for five minutes around the time it was made.
_CLOCK_SIGNS = ("Signature expired", "Signature not yet current", "skewed")
_Make = Callable[[str, str, str], IalError]
# First match wins: subclasses stand before their bases.
_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], _Make], ...] = (
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError),
        lambda text, where, operation: CredentialsError(
            "No AWS credentials were found.",
            "Run `aws configure` or set AWS_PROFILE; or work locally with `--target local`.",
        ),
    ),
    (
        (boto.ProfileNotFound,),
        lambda text, where, operation: CredentialsError(
            f"{text}.", "`aws configure list-profiles` shows those there are."
        ),
    ),
    (
        (boto.TokenRetrievalError, boto.SSOError, boto.CredentialRetrievalError),
        lambda text, where, operation: CredentialsError(
            f"The AWS credentials can't be obtained: {text}.", "Sign in again: `aws sso login`."
        ),
    ),
    (
        (boto.NoRegionError, boto.InvalidRegionError),
        lambda text, where, operation: RegionError(text, "Name one: `--region us-east-1`."),
    ),
    (
        (boto.ParamValidationError,),
        lambda text, where, operation: AwsError(
            f"{operation} was called wrongly: {text}", code="ParamValidation"
        ),
    ),
    (
        (boto.SSLError,),
        lambda text, where, operation: EndpointUnreachableError(
            f"The TLS certificate of {where} was not accepted: {text}.",
            "Check the endpoint's URL, the clock, and AWS_CA_BUNDLE.",
        ),
    ),
    (
        (boto.ReadTimeoutError,),
        lambda text, where, operation: EndpointUnreachableError(
            f"No answer to {operation} in time from {where}.",
            "Is it overloaded or stuck? A longer wait: `read_timeout_s` in ialctl.yaml.",
        ),
    ),
    (
        (boto.ConnectionClosedError, boto.ResponseStreamingError),
        lambda text, where, operation: EndpointUnreachableError(
            f"The connection was closed in the middle of {operation} by {where}.",
            "Run `ialctl status`; is something between us that cuts connections?",
        ),
    ),
    (
        (boto.HTTPClientError, boto.EndpointConnectionError, boto.ConnectTimeoutError),
        lambda text, where, operation: EndpointUnreachableError(
            f"Nothing answers at {where} ({operation}).",
            "Is it running, and is the address right? `ialctl start` brings up a local one.",
        ),
    ),
)


def _from_answer(error: boto.ClientError, where: str, operation: str) -> IalError:
    code, status = _code(error), _status(error)
    message = _short(str(_body(error).get("Message", "")))
    known = AWS_CODES.get(code, AwsError)
    # Only the answer to a HEAD has no body and so no code but its status.
    no_code = code.isdigit() and not operation.startswith("Head")
    nameless = known is AwsError and not message and not code.endswith("Exception")
    if no_code or nameless or not code.replace(".", "").isalnum():
        return EndpointAnswerError(
            f"The answer to {operation} from {where} is not one of AWS (HTTP {status}).",
            "Is that an AWS endpoint? Check `--endpoint-url`.",
            status=status,
        )
    if issubclass(known, TargetError):
        return _refusal(known, code, message, operation)
    what = f"{operation} failed with {code}: {message or 'no message'}"
    if issubclass(known, AwsError):
        extra: dict[str, Any] = {}
        if issubclass(known, ThrottledError):
            extra["reasons"] = throttling_reasons(error.response)
        return known(what, code=code, status=status, **extra)
    if known is StorageError:
        return StorageError(f"{operation} failed: {message}.", "Make room and run it again.")
    return known(what)


def _refusal(known: type[TargetError], code: str, message: str, operation: str) -> TargetError:
    if known is CredentialsError and any(sign in message for sign in _CLOCK_SIGNS):
        return CredentialsError(
            f"{operation} was refused because this machine's clock is off ({code}).",
            "Set the clock; AWS allows five minutes.",
            code=code,
        )
    if known is CredentialsError:
        expired = "xpired" in code + message
        return CredentialsError(
            f"The AWS credentials {'have expired' if expired else 'were refused'} ({code}).",
            "Sign in again (`aws sso login`) or choose others with `--profile`.",
            code=code,
        )
    if known is AccessDeniedError:
        return AccessDeniedError(
            f"These credentials may not call {operation}: {message or code}",
            "Use the operator role of the access-policies phase, or ask for that permission.",
            code=code,
        )
    return RegionError(
        f"{operation} was refused for this region ({code}): {message}",
        "Name the region of the deployment with `--region`.",
        code=code,
    )


def refuse_rubbish(response_dict: Mapping[str, Any], **_: object) -> None:
    """A botocore handler: a JSON service's answer must be a JSON object.

    botocore takes anything for an empty answer, and so a write as done that was never seen.

    Raises:
        ResponseParserError: it is something else.
    """
    body = response_dict.get("body", b"")
    if response_dict.get("status_code", 0) >= 300:
        return
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ResponseParserError(f"{_short(repr(body[:60]))} is not a JSON object")


def throttling_reasons(response: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Each `(reason, resource)` that DynamoDB gives for throttling a request."""
    found = response.get("ThrottlingReasons") or response.get("throttlingReasons") or []
    return tuple((str(r.get("reason", "")), str(r.get("resource", ""))) for r in found)


def _body(error: boto.ClientError) -> Mapping[str, Any]:
    body: Mapping[str, Any] = error.response.get("Error", {})
    return body


def _code(error: boto.ClientError) -> str:
    return str(_body(error).get("Code", ""))


def _status(error: boto.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"
