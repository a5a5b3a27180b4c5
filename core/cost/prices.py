"""What AWS charges, in US dollars. Pure arithmetic.

Source: AWS's public price list of us-east-1, as of September 2026. Other regions differ by up to
a half; what is computed here is an estimate, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
_MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """Prices of one region at a time; on demand, standard tables."""

    region: str
    as_of: str
    million_read_units: float
    million_write_units: float
    storage_gib_month: float
    export_gib: float
    import_gib: float

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


US_EAST_1 = Prices(
    region="us-east-1",
    as_of="2026-09",
    million_read_units=0.125,
    million_write_units=0.625,
    storage_gib_month=0.25,
    export_gib=0.10,
    import_gib=0.15,
)
