"""Whether the target answers: region, endpoint, clock, credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from botocore.exceptions import ReadTimeoutError

from core.aws.embedded import endpoint_folder, read_instance
from core.aws.lease import process_runs
from core.aws.session import AwsSession
from core.clock import Clock
from core.doctor.finding import Finding, ok, skipped, trouble, warning
from core.doctor.probe import Probe, probe
from core.errors import (
    AccessDeniedError,
    AwsError,
    CredentialsError,
    EndpointAnswerError,
    TargetError,
)
from core.settings import Settings

CLOCK_TROUBLE_S = 300.0
"""AWS refuses signatures that are over five minutes off."""
CLOCK_WARNING_S = 30.0
SLOW_MS = 100.0
_PROBE_S = 2.0
_REFUSED = "Every request will be refused; nothing more can be looked at."
_UNUSABLE = "Nothing that is deployed can be looked at, or used."
_ENDPOINT_START = "Bring it up: `ialctl start`."


class Client(Protocol):
    """An AWS client: `client.describe_table(TableName=…)`; raises errors of ours only."""

    def __getattr__(self, name: str, /) -> Callable[..., dict[str, Any]]:
        """The operation called `name`."""


@dataclass(frozen=True)
class Reached:
    """What the first checks learnt: clients that can be asked, or why there are none."""

    session: AwsSession | None
    findings: tuple[Finding, ...]

    @property
    def why_not(self) -> str:
        """Why nothing can be asked of the target; empty where it can."""
        for finding in self.findings:
            if finding.state == "trouble" and finding.name in _GATES:
                return _GATES[finding.name]
        return "" if self.session else "the endpoint can't be reached"


_GATES: Mapping[str, str] = {
    "region": "no region can be used",
    "endpoint": "the endpoint can't be reached",
    "credentials": "the credentials can't be used",
}


def impatient(settings: Settings) -> Settings:
    """The settings with time limits that a person who waits for an answer will bear."""
    return replace(
        settings,
        connect_timeout_s=min(settings.connect_timeout_s, _PROBE_S),
        read_timeout_s=min(settings.read_timeout_s, 3.0),
        retry_time_s=min(settings.retry_time_s, 0.5),
    )


def embedded_finding(settings: Settings) -> Finding | str:
    """Where the embedded endpoint should answer, or what is wrong; starts nothing."""
    folder = endpoint_folder(settings)
    instance = read_instance(folder)
    if instance is None:
        what = f"none was ever started in '{settings.project_state_dir}'"
        means = "There is nothing to look at yet; or this is another folder than it was started in."
        return trouble("endpoint", what, means, _ENDPOINT_START)
    if instance.stopped:
        return trouble("endpoint", "it is stopped; its data is kept", "", _ENDPOINT_START)
    if not process_runs(instance.pid):
        return trouble(
            "endpoint",
            f"its process {instance.pid} has ended",
            "It lost nothing that it acknowledged.",
            f"Bring it back: `ialctl start`. Its log: {folder / 'endpoint.log'}",
        )
    return instance.url


def reach(settings: Settings, sources: Mapping[str, str], clock: Clock) -> Reached:
    """Region, endpoint and clock; what they found, and clients where the endpoint answers."""
    embedded = embedded_finding(settings) if settings.uses_embedded_endpoint else None
    if isinstance(embedded, Finding):
        return Reached(None, (embedded,))
    session = AwsSession(impatient(settings), embedded, clock)
    try:
        region = session.region
        url = str(session.endpoint_url or session.client("dynamodb").endpoint_url)
    except CredentialsError as error:  # a profile that does not exist
        return Reached(None, (trouble("credentials", error.what, _REFUSED, error.cure or ""),))
    except TargetError as error:
        means = "AWS can't be asked anything without one."
        return Reached(None, (trouble("region", error.what, means, error.cure or ""),))
    findings = [ok("region", f"{region}, from {_source(settings, sources)}")]
    path = "/_ialctl/health" if embedded else "/"
    try:
        seen = probe(url + path, session.where, clock, _PROBE_S)
    except TargetError as error:
        findings.append(trouble("endpoint", error.what, _UNUSABLE, _cure(settings, error)))
        return Reached(None, tuple(findings))
    endpoint = _endpoint(settings, url, seen)
    credentials = credentials_finding(session, settings)
    if credentials.name == "endpoint":  # it answers, but not as AWS does
        return Reached(None, (*findings, credentials))
    return Reached(session, (*findings, endpoint, clock_finding(seen.ahead_s), credentials))


def _cure(settings: Settings, error: TargetError) -> str:
    instance = read_instance(endpoint_folder(settings))
    if settings.uses_embedded_endpoint and instance is not None:
        log = endpoint_folder(settings) / "endpoint.log"
        if isinstance(error.__cause__, ReadTimeoutError):
            end = f"If it hangs, `kill -9 {instance.pid}` loses nothing that it acknowledged;"
            return f"{end} `ialctl start` brings it back. Its log: {log}"
        return f"{_ENDPOINT_START} Its log: {log}"
    if settings.endpoint_url is None:
        return "Check the network, a proxy (HTTPS_PROXY), and the name of the region."
    return error.cure or "Check the address and the network."


def _source(settings: Settings, sources: Mapping[str, str]) -> str:
    if settings.region:
        return sources.get("region", "settings")
    return "the local target's own" if settings.target == "local" else "the AWS profile"


def _endpoint(settings: Settings, url: str, seen: Probe) -> Finding:
    pace = f"{seen.median_ms:.1f} ms (median of {len(seen.milliseconds)})"
    if settings.uses_embedded_endpoint:
        folder = endpoint_folder(settings)
        instance, about = read_instance(folder), seen.json()
        if instance is None or about.get("instance") != instance.instance:
            return trouble(
                "endpoint",
                f"something else answers at {url}",
                "The embedded endpoint has ended, and another program has its port.",
                _ENDPOINT_START,
            )
        notes = [str(note) for note in about.get("notes") or ()]
        found = f"embedded, {url}, {pace}"
        if notes:
            log = folder / "endpoint.log"
            return warning("endpoint", found, " ".join(notes), f"Its log has more: {log}")
        return ok("endpoint", found)
    if seen.median_ms > SLOW_MS:
        return warning(
            "endpoint",
            f"{url}, {pace}",
            "Each round of requests takes that long at least: a context takes one or two.",
            "Run where the tables are: in the same region. `ialctl doctor --for latency`",
        )
    return ok("endpoint", f"{url}, {pace}")


def clock_finding(ahead_s: float | None) -> Finding:
    """This machine's clock against the endpoint's, which is `ahead_s` ahead of it."""
    if ahead_s is None:
        return skipped("clock", "the endpoint tells no time")
    off = abs(ahead_s)
    words = f"{_duration(off)} {'behind' if ahead_s > 0 else 'ahead of'} the endpoint's"
    if off <= CLOCK_WARNING_S:
        return ok("clock", "as the endpoint's, within a second" if off < 1.5 else words)
    means = "Messages are ordered and expire by this clock."
    cure = "Set it by the network: `timedatectl set-ntp true`"
    if off <= CLOCK_TROUBLE_S:
        return warning("clock", words, means, cure)
    return trouble("clock", words, f"AWS refuses what is signed by it; {means.lower()}", cure)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def credentials_finding(session: AwsSession, settings: Settings) -> Finding:
    """Whose the credentials are, if they are taken; of `endpoint`, if it is none of AWS's."""
    try:
        answer = session.client("sts").get_caller_identity()
    except (EndpointAnswerError, AwsError):
        return _without_sts(session)
    except AccessDeniedError as error:
        return warning("credentials", error.what, "They are taken, but not told whose.", "")
    except TargetError as error:
        return trouble("credentials", error.what, _REFUSED, error.cure or "")
    whose = str(answer.get("Arn", "nobody's"))
    if settings.target == "local":
        return ok("credentials", "the local target takes its own; yours are never sent")
    if whose.endswith(":root"):
        return warning(
            "credentials",
            f"the account's root user ({whose})",
            "It may do everything, and can't be kept from anything.",
            f"Use a role with the policy {settings.project}-operator.",
        )
    return ok("credentials", whose)


def _without_sts(session: AwsSession) -> Finding:
    """An endpoint that has DynamoDB alone."""
    try:
        session.client("dynamodb").list_tables(Limit=1)
    except EndpointAnswerError as error:
        return trouble("endpoint", error.what, _UNUSABLE, error.cure or "")
    except AccessDeniedError:
        pass  # they are taken
    except TargetError as error:
        return trouble("credentials", error.what, _REFUSED, error.cure or "")
    return ok("credentials", "taken by DynamoDB; this endpoint has no STS")
