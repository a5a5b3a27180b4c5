"""What AWS charges, in US dollars. Pure arithmetic.

Source: AWS's public price list of us-east-1, as of September 2026; Titan's price from Bedrock's
price page, the key's from KMS's. Other regions differ by up to a half: `core.cost.offers` reads
theirs. A GiB is 1024³ bytes, which AWS's price list calls a GB.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UsageError

GIB = 1024**3
_MILLION = 1_000_000
_CURE = "Read it anew: `ialctl cost --refresh`."


@dataclass(frozen=True)
class Prices:
    """Prices of one region at a time; on demand and standard tables where no name says otherwise.

    `as_of` is a month or day, `2026-09` or `2026-09-30`. `..._hour` is for a provisioned unit
    during an hour, `..._month` for one during a month, `stream_read` for one request.
    """

    region: str
    as_of: str
    million_read_units: float
    million_write_units: float
    storage_gib_month: float
    export_gib: float
    import_gib: float
    ia_million_read_units: float
    ia_million_write_units: float
    ia_storage_gib_month: float
    read_capacity_hour: float
    write_capacity_hour: float
    pitr_gib_month: float
    backup_gib_month: float
    restore_gib: float
    stream_read: float
    vector_write_gib: float
    vector_search_gib: float
    s3_gib_month: float
    alarm_month: float
    dashboard_month: float
    key_month: float
    titan_million_tokens: float

    def reads(self, units: float) -> float:
        """Dollars for so many read units."""
        return units / _MILLION * self.million_read_units

    def writes(self, units: float) -> float:
        """Dollars for so many write units."""
        return units / _MILLION * self.million_write_units

    def imported(self, size: int) -> float:
        """Dollars for importing so many bytes, counted before compression."""
        return size / GIB * self.import_gib

    def exported(self, size: int) -> float:
        """Dollars for exporting a table of so many bytes."""
        return size / GIB * self.export_gib

    def stored(self, size: int) -> float:
        """Dollars a month for so many bytes in a table."""
        return size / GIB * self.storage_gib_month

    def to_json(self) -> dict[str, Any]:
        """As plain data; `from_json` takes it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Prices:
        """Prices from plain data.

        Raises:
            UsageError: it is no object, or a price is missing, unknown or no amount of money.
        """
        if not isinstance(data, Mapping) or set(data) != {f.name for f in dataclasses.fields(cls)}:
            raise UsageError("The saved prices don't name each price once.", _CURE)
        return cls(**{name: _checked(name, value) for name, value in data.items()})


def _checked(name: str, value: object) -> Any:
    if name in ("region", "as_of"):
        if isinstance(value, str) and value:
            return value
    elif not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < math.inf:
        return float(value)
    raise UsageError(f"The saved price '{name}' is {value!r}.", _CURE)


US_EAST_1 = Prices(
    region="us-east-1",
    as_of="2026-09",
    million_read_units=0.125,
    million_write_units=0.625,
    storage_gib_month=0.25,
    export_gib=0.10,
    import_gib=0.15,
    ia_million_read_units=0.155,
    ia_million_write_units=0.78,
    ia_storage_gib_month=0.10,
    read_capacity_hour=0.00013,
    write_capacity_hour=0.00065,
    pitr_gib_month=0.20,
    backup_gib_month=0.10,
    restore_gib=0.15,
    stream_read=0.02 / 100_000,
    vector_write_gib=0.52,
    vector_search_gib=0.002,
    s3_gib_month=0.023,
    alarm_month=0.10,
    dashboard_month=3.00,
    key_month=1.00,
    titan_million_tokens=0.02,
)
