"""Every error that this project raises on purpose.

    IalError (1)
    ├── UsageError (2)
    │   └── SettingsError (2)
    ├── DifferenceError (3)
    ├── TargetError (4)
    │   ├── EndpointUnreachableError (4)
    │   ├── EndpointAnswerError (4)
    │   ├── CredentialsError (4)
    │   ├── RegionError (4)
    │   ├── AccessDeniedError (4)
    │   └── LocalEndpointError (4)
    ├── LockHeldError (5)
    ├── DamagedError (6)
    │   └── BadLineError (6)         a line of a backup's file can't be used
    ├── NotConfirmedError (7)
    ├── InterruptedRunError (130)
    ├── TerminatedRunError (143)
    ├── AwsError (1)                 an AWS service answered with an error code
    │   ├── ThrottledError (1)
    │   ├── ConditionFailedError (1)
    │   ├── NotFoundError (1)
    │   └── AlreadyExistsError (1)
    ├── DeployError (1)
    │   ├── TemplateError (1)
    │   ├── StackFailedError (1)
    │   └── ProtectedChangeError (7)
    ├── StorageError (1)             our own files can't be read or written
    ├── EmbeddingError (1)           a text has no usable vector
    │   └── EmbedderUnavailableError (1)  the model can't be reached: go on without it
    └── RecordError (1)              a record of an imported file can't be used

The number is the exit code of `ialctl`. Each error holds one sentence that says what happened
and, where there is one, a cure that says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class IalError(Exception):
    """Base of all: `what` happened, the `cure`, and the `fields` that name what it happened to."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, cure: str | None = None, **fields: object) -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure
        self.fields: Mapping[str, object] = fields


class UsageError(IalError):
    """The call itself is wrong: an argument, an option, a file of the user's."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting has an unknown key or a value that can't be used."""


class DifferenceError(IalError):
    """What stands differs from what should: drift, validation, verification."""

    exit_code = 3


class TargetError(IalError):
    """The target can't be reached, or refuses us."""

    exit_code = 4


class EndpointUnreachableError(TargetError):
    """No connection, or no answer in time."""


class EndpointAnswerError(TargetError):
    """Something answered, but not an AWS service."""


class CredentialsError(TargetError):
    """Credentials are missing, expired or wrong."""


class RegionError(TargetError):
    """No region, or one in which the service does not exist."""


class AccessDeniedError(TargetError):
    """The credentials are good, but may not do this."""


class LocalEndpointError(TargetError):
    """The embedded endpoint is not there, or can't be started or stopped."""


class LockHeldError(IalError):
    """Another run holds the lock; fields: owner, since."""

    exit_code = 5


class DamagedError(IalError):
    """A backup or archive is damaged or incomplete."""

    exit_code = 6


class BadLineError(DamagedError):
    """A line of a backup's data can't be used; holds the reason, its reader adds file and line."""


class NotConfirmedError(IalError):
    """A question was answered with no, or could not be asked."""

    exit_code = 7


class InterruptedRunError(IalError):
    """Stopped at a safe point after Ctrl-C."""

    exit_code = 130


class TerminatedRunError(IalError):
    """Stopped at a safe point after SIGTERM."""

    exit_code = 143


class AwsError(IalError):
    """An AWS service answered with an error; `code` and `status` are its own."""

    def __init__(
        self,
        what: str,
        cure: str | None = None,
        *,
        code: str = "",
        status: int = 0,
        **fields: object,
    ) -> None:
        super().__init__(what, cure, code=code, status=status, **fields)
        self.code = code
        self.status = status


class ThrottledError(AwsError):
    """Too many requests; fields: reasons, each `(reason, resource)`."""


class ConditionFailedError(AwsError):
    """A conditional write found another state than it named."""


class NotFoundError(AwsError):
    """The named table, stack, bucket or change set does not exist."""


class AlreadyExistsError(AwsError):
    """The named resource exists already or is in use."""


class DeployError(IalError):
    """A deployment can't be planned or carried out."""


class TemplateError(DeployError):
    """A phase's template can't be used; fields: path, line."""


class StackFailedError(DeployError):
    """A stack failed; fields: stack, resource, resource_type, reason."""


class ProtectedChangeError(DeployError):
    """A change would replace or remove what holds data; fields: stack, resources."""

    exit_code = 7


class StorageError(IalError):
    """A file of ours can't be read or written; fields: path."""


class EmbeddingError(IalError):
    """A text has no usable vector; fields: model, reason."""


class EmbedderUnavailableError(EmbeddingError):
    """The embedding model can't be reached or is not there; fields: model, reason."""


class RecordError(IalError):
    """A record of an imported file can't be used; fields: line."""


# AWS error code → the class that stands for it. A code that is not here stays an AwsError with
# its code and status.
AWS_CODES: Mapping[str, type[IalError]] = {
    "ProvisionedThroughputExceededException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "SlowDown": ThrottledError,
    "ConditionalCheckFailedException": ConditionFailedError,
    "TransactionCanceledException": ConditionFailedError,
    "PreconditionFailed": ConditionFailedError,
    "ResourceNotFoundException": NotFoundError,
    "TableNotFoundException": NotFoundError,
    "ChangeSetNotFound": NotFoundError,
    "ChangeSetNotFoundException": NotFoundError,
    "NoSuchBucket": NotFoundError,
    "NoSuchKey": NotFoundError,
    "NoSuchEntity": NotFoundError,
    "404": NotFoundError,
    "AlreadyExistsException": AlreadyExistsError,
    "ResourceInUseException": AlreadyExistsError,
    "TableAlreadyExistsException": AlreadyExistsError,
    "BucketAlreadyOwnedByYou": AlreadyExistsError,
    "BucketAlreadyExists": AlreadyExistsError,
    "ExpiredToken": CredentialsError,
    "ExpiredTokenException": CredentialsError,
    "RequestExpired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "UnrecognizedClientException": CredentialsError,
    "InvalidClientTokenId": CredentialsError,
    "InvalidAccessKeyId": CredentialsError,
    "InvalidSignatureException": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "IncompleteSignature": CredentialsError,
    "MissingAuthenticationToken": CredentialsError,
    "AuthFailure": CredentialsError,
    "AccessDenied": AccessDeniedError,
    "AccessDeniedException": AccessDeniedError,
    "UnauthorizedOperation": AccessDeniedError,
    "NotAuthorized": AccessDeniedError,
    "403": AccessDeniedError,
    "LocalEndpointStorage": StorageError,
    "OptInRequired": RegionError,
    "AuthorizationHeaderMalformed": RegionError,
    "PermanentRedirect": RegionError,
    "IllegalLocationConstraintException": RegionError,
}


def error_classes() -> list[type[IalError]]:
    """All error classes of this module, base first."""
    found: list[type[IalError]] = [IalError]
    for known in found:
        found.extend(known.__subclasses__())
    return found


def details(error: IalError) -> dict[str, Any]:
    """An error as plain data, for JSON output and logs."""
    return {
        "error": type(error).__name__,
        "message": error.what,
        "cure": error.cure,
        "exit_code": error.exit_code,
        "fields": {name: str(value) for name, value in error.fields.items()},
    }
