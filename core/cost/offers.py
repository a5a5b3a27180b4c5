"""AWS's public price list: one file a service and region, for anyone, without credentials.

    GET {base}/offers/v1.0/aws/AmazonDynamoDB/current/{region}/index.json

`products` names each SKU's usage type, `terms.OnDemand` its prices by bands. A usage type is
`ReadRequestUnits` in us-east-1 and `USW2-ReadRequestUnits` elsewhere. DynamoDB's own prices are
read; those of S3, CloudWatch, KMS and Bedrock stay as they are in the table that is shipped.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import ijson
import urllib3

from core.clock import SYSTEM_CLOCK, Clock
from core.cost.prices import US_EAST_1, Prices
from core.errors import EndpointAnswerError, EndpointUnreachableError, StorageError, UsageError

PRICE_LIST_URL = "https://pricing.us-east-1.amazonaws.com"
MOST_BYTES = 64 * 1024 * 1024
_CONNECT_S, _READ_S, _TOTAL_S = 5.0, 20.0, 120.0
_PIECE = 256 * 1024
_CURE = "Leave --refresh out: the prices at hand go on being used."
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")
_OK = 200
_MILLION = 1_000_000
# Usage type → the field of `Prices`, and how many of the list's units make one of ours.
USAGE_TYPES: Mapping[str, tuple[str, int]] = {
    "ReadRequestUnits": ("million_read_units", _MILLION),
    "WriteRequestUnits": ("million_write_units", _MILLION),
    "IA-ReadRequestUnits": ("ia_million_read_units", _MILLION),
    "IA-WriteRequestUnits": ("ia_million_write_units", _MILLION),
    "ReadCapacityUnit-Hrs": ("read_capacity_hour", 1),
    "WriteCapacityUnit-Hrs": ("write_capacity_hour", 1),
    "TimedStorage-ByteHrs": ("storage_gib_month", 1),
    "IA-TimedStorage-ByteHrs": ("ia_storage_gib_month", 1),
    "TimedPITRStorage-ByteHrs": ("pitr_gib_month", 1),
    "TimedBackupStorage-ByteHrs": ("backup_gib_month", 1),
    "RestoreDataSize-Bytes": ("restore_gib", 1),
    "ExportDataSize-Bytes": ("export_gib", 1),
    "ImportDataSize-Bytes": ("import_gib", 1),
    "Streams-Requests": ("stream_read", 1),
    "VectorWriteRequest": ("vector_write_gib", 1),
    "VectorSearch": ("vector_search_gib", 1),
}
_NEEDED = ("ReadRequestUnits", "WriteRequestUnits", "TimedStorage-ByteHrs")
# A region's prefix. `IA-` is none: it is the table class, and a type of its own.
_USAGE = re.compile(r"(?:(?!IA-)[A-Z]{2,4}[0-9]?-)?(.+)")


@dataclasses.dataclass(frozen=True)
class PriceList:
    """Where the price list is fetched from; `base_url` is a test's own server."""

    base_url: str = PRICE_LIST_URL
    most_bytes: int = MOST_BYTES
    connect_s: float = _CONNECT_S
    read_s: float = _READ_S
    total_s: float = _TOTAL_S
    clock: Clock = SYSTEM_CLOCK

    def fetch(self, region: str, folder: Path) -> Prices:
        """The prices of a region; `folder` holds the file, without a name, while it is read.

        Raises:
            UsageError: `region` is no region's name.
            EndpointUnreachableError: no answer, or not in time.
            EndpointAnswerError: what came is no price list, or too large.
            StorageError: the file can't be written.
        """
        if not _REGION.fullmatch(region):
            raise UsageError(f"'{region}' is no AWS region.", "Name one such as us-east-1.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder) as file:
                self._download(region, file)
                return parse(region, file)
        except OSError as error:
            raise StorageError(
                f"The price list can't be kept in '{folder}' while it is read: {error}.",
                "Make room there, or name another folder with --state-dir.",
                path=folder,
            ) from error

    def _download(self, region: str, file: IO[bytes]) -> None:
        url = f"{self.base_url}/offers/v1.0/aws/AmazonDynamoDB/current/{region}/index.json"
        try:
            with self._pool(url) as pool:
                answer = pool.request("GET", url, preload_content=False)
                if answer.status != _OK:
                    raise EndpointAnswerError(
                        f"AWS's price list answers {answer.status} for {region}.",
                        f"Is that a region? {_CURE}",
                    )
                self._copy(answer, file)
        except urllib3.exceptions.HTTPError as error:
            raise EndpointUnreachableError(
                f"AWS's price list at {self.base_url} can't be reached: {_reason(error)}.",
                _CURE,
            ) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        # As botocore goes out: by the environment's proxy, with the certificates it ships.
        from botocore.httpsession import get_cert_path
        from botocore.utils import get_environ_proxies

        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(connect=self.connect_s, read=self.read_s),
            "retries": urllib3.Retry(2),
            "ca_certs": get_cert_path(True) if url.startswith("https:") else None,
        }
        proxy = get_environ_proxies(url).get(url.partition(":")[0])
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)

    def _copy(self, answer: urllib3.BaseHTTPResponse, out: IO[bytes]) -> None:
        # By what has come, however little: a server that drips is noticed, too.
        until_s, size = self.clock.monotonic() + self.total_s, 0
        while piece := answer.read1(_PIECE):
            size += len(piece)
            if size > self.most_bytes:
                raise EndpointAnswerError(
                    f"AWS's price list is larger than {self.most_bytes:,} bytes.", _CURE
                )
            if self.clock.monotonic() > until_s:
                raise EndpointUnreachableError(
                    f"AWS's price list was not there after {self.total_s:g} seconds.", _CURE
                )
            out.write(piece)


def _reason(error: BaseException) -> str:
    """The innermost reason of an error, without the addresses of objects and connections."""
    reason = getattr(error, "reason", None)
    told = str(reason if isinstance(reason, BaseException) else error)
    return re.sub(r"<[^>]*>:? ?|\w+\(host=[^)]*\): ?", "", told).rstrip(".") or "no reason given"


def parse(region: str, file: IO[bytes]) -> Prices:
    """Prices out of an offer file, which is read piece by piece; what it lacks stays as shipped.

    Raises:
        EndpointAnswerError: it is no offer file of DynamoDB's, or lacks what everything needs.
    """
    try:
        date = next(ijson.items(_rewound(file), "publicationDate"), None)
        types = dict(_types(ijson.kvitems(_rewound(file), "products")))
        found = _prices(types, ijson.kvitems(_rewound(file), "terms.OnDemand"))
    except (ijson.JSONError, AttributeError, TypeError, KeyError, InvalidOperation) as error:
        raise EndpointAnswerError(f"AWS's price list for {region} is not one.", _CURE) from error
    missing = [name for name in _NEEDED if USAGE_TYPES[name][0] not in found]
    if missing or not (isinstance(date, str) and _DATE.match(date)):
        lacks = missing[0] if missing else "publicationDate"
        raise EndpointAnswerError(f"AWS's price list for {region} lacks '{lacks}'.", _CURE)
    return dataclasses.replace(US_EAST_1, region=region, as_of=date[:10], **found)


def _rewound(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _types(products: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """SKU and usage type, without the region's prefix, of those that are wanted."""
    for sku, product in products:
        matched = _USAGE.fullmatch(str(product["attributes"].get("usagetype", "")))
        if matched and matched[1] in USAGE_TYPES:
            yield sku, matched[1]


def _prices(types: Mapping[str, str], terms: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, float] = {}
    for sku, offers in terms:
        price = _highest(offers) if sku in types else Decimal(0)
        if price:
            field, per = USAGE_TYPES[types[sku]]
            found[field] = max(found.get(field, 0.0), float(price * per))
    return found


def _highest(offers: Mapping[str, Any]) -> Decimal:
    """The price of the dearest band: the one at $0 is the free tier's."""
    bands = (band for offer in offers.values() for band in offer["priceDimensions"].values())
    dollars = [Decimal(band["pricePerUnit"].get("USD", "0")) for band in bands]
    return max((price for price in dollars if price.is_finite()), default=Decimal(0))
