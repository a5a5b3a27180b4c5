"""A small server in AWS's place, with an offer file of the real shape."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

# Usage type without prefix → bands of (begin, dollars), as the list has them.
BANDS: dict[str, tuple[tuple[str, str], ...]] = {
    "ReadRequestUnits": (("0", "0.0000001400"),),
    "WriteRequestUnits": (("0", "0.0000007000"),),
    "IA-ReadRequestUnits": (("0", "0.0000001700"),),
    "IA-WriteRequestUnits": (("0", "0.0000008500"),),
    "ReadCapacityUnit-Hrs": (("0", "0.0000000000"), ("18600", "0.0001400000")),
    "TimedStorage-ByteHrs": (("0", "0.0000000000"), ("25", "0.2800000000")),
    "IA-TimedStorage-ByteHrs": (("0", "0.1100000000"),),
    "TimedPITRStorage-ByteHrs": (("0", "0.2200000000"),),
    "Streams-Requests": (("0", "0.0000000000"), ("2500000", "0.0000002200")),
    "ReplWriteRequestUnits": (("0", "9.0"),),
    "DataTransfer-Out-Bytes": (("0", "9.0"),),
}


def offer(prefix: str = "", **changed: Any) -> dict[str, Any]:
    """An offer file for a region whose usage types begin with `prefix`; `changed` on top."""
    products, terms = {}, {}
    for number, (name, bands) in enumerate(BANDS.items()):
        sku = f"SKU{number:05d}"
        products[sku] = {
            "sku": sku,
            "productFamily": "Amazon DynamoDB PayPerRequest Throughput",
            "attributes": {
                "servicecode": "AmazonDynamoDB",
                "location": "EU (Ireland)",
                "locationType": "AWS Region",
                "usagetype": f"{prefix}{name}",
                "operation": "PayPerRequestThroughput",
                "servicename": "Amazon DynamoDB",
            },
        }
        terms[sku] = {f"{sku}.JRTCKXETXF": _term(sku, bands)}
    return {
        "formatVersion": "v1.0",
        "disclaimer": "This pricing list is for informational purposes only.",
        "offerCode": "AmazonDynamoDB",
        "version": "20261103120000",
        "publicationDate": "2026-11-03T12:00:00Z",
        "products": products,
        "terms": {"OnDemand": terms, "Reserved": {}},
        "attributesList": {},
    } | changed


def _term(sku: str, bands: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {
        "offerTermCode": "JRTCKXETXF",
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "priceDimensions": {
            f"{sku}.JRTCKXETXF.{number}": {
                "rateCode": f"{sku}.JRTCKXETXF.{number}",
                "description": f"${dollars} per unit",
                "beginRange": begin,
                "endRange": "Inf",
                "unit": "units",
                "pricePerUnit": {"USD": dollars},
                "appliesTo": [],
            }
            for number, (begin, dollars) in enumerate(bands)
        },
        "termAttributes": {},
    }


@contextmanager
def price_server(answers: dict[str, bytes | dict[str, Any]]) -> Iterator[str]:
    """Serves an offer file a region; anything else is a 404. Gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        """Answers by region."""

        def do_GET(self) -> None:
            """The offer of the region that the path names."""
            region = self.path.split("/")[-2]
            wanted = f"/offers/v1.0/aws/AmazonDynamoDB/current/{region}/index.json"
            body = answers.get(region) if self.path == wanted else None
            raw = orjson.dumps(body) if isinstance(body, dict) else body or b"no"
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
