"""Small requests to an endpoint, unsigned: whether it answers, how quickly, and what time it has.

Unsigned, because a clock that is off makes AWS refuse every signature: then this still answers.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from core.aws.failures import translate
from core.clock import Clock

REQUESTS = 5


@dataclass(frozen=True)
class Probe:
    """What small requests met: each one's milliseconds, the endpoint's clock less ours in seconds
    (None: it tells no time), and the first answer's status and beginning."""

    milliseconds: tuple[float, ...]
    ahead_s: float | None
    status: int
    body: bytes

    @property
    def median_ms(self) -> float:
        """Of all but the first, which opens the connection."""
        return statistics.median(self.milliseconds[1:] or self.milliseconds)

    def json(self) -> Mapping[str, Any]:
        """The answer as an object; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def probe(url: str, where: str, clock: Clock, timeout_s: float) -> Probe:
    """Sends GET requests, one after the other on one connection.

    Raises:
        EndpointUnreachableError: nothing answers at `where`.
        EndpointAnswerError: what answers is no HTTP server.
    """
    http = URLLib3Session(timeout=(timeout_s, timeout_s), proxies=get_environ_proxies(url))
    times: list[float] = []
    ahead: list[float] = []
    status, body = 0, b""
    try:
        for number in range(REQUESTS):
            begun, begun_at = clock.monotonic(), clock.time()
            answer = http.send(AWSRequest("GET", url).prepare())
            took = clock.monotonic() - begun
            times.append(took * 1000)
            date = _epoch(answer.headers.get("date"))
            if date is not None:
                # It was written half-way, about; and cut to a whole second.
                ahead.append(date + 0.5 - (begun_at + took / 2))
            if not number:
                status, body = answer.status_code, answer.content[:4096]
            if sum(times) > timeout_s * 1000:
                break
    except (BotoCoreError, OSError) as error:
        raise translate(error, where, "GET") from error
    finally:
        http.close()
    return Probe(tuple(times), statistics.median(ahead) if ahead else None, status, body)


def _epoch(text: str | None) -> float | None:
    if not text:
        return None
    # An emulator may say it twice in one line.
    first = text.partition(" GMT")[0] + " GMT"
    try:
        return parsedate_to_datetime(first).timestamp()
    except ValueError:
        return None
