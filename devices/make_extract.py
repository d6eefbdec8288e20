"""Makes `devices/data/simbench_2016.npz` from the SimBench package, so that anyone can make it again.

    python -m devices.make_extract simbench-1.6.1-py3-none-any.whl [TARGET]

It takes the household, solar, wind and hydro columns of the complete data set, one value a quarter hour,
366 days, in the order of the rows. The file's time labels are local time with a gap in March and a
repeated hour in October, while the rows are evenly spaced: so rows count, labels do not.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from devices.sites import HOUSEHOLD_SHAPES, HYDRO_SHAPES, PV_SHAPES, WIND_SHAPES

DATASET: Final = "simbench/networks/1-complete_data-mixed-all-0-sw/"
ROWS: Final = 366 * 96
SCALE: Final = 32_767
"""Values are shares of the peak, 0 to 1, kept as 16-bit integers: half a step is 0.0015 % of the peak."""


def read_columns(wheel: Path) -> dict[str, NDArray[np.float64]]:
    """The wanted columns of the package, as shares of each one's peak."""
    with zipfile.ZipFile(wheel) as archive:
        loads = _read_csv(archive, "LoadProfile.csv", {f"{shape}_pload": shape for shape in HOUSEHOLD_SHAPES})
        wanted = {shape: shape for shape in (*PV_SHAPES, *WIND_SHAPES, *HYDRO_SHAPES)}
        return loads | _read_csv(archive, "RESProfile.csv", wanted)


def _read_csv(archive: zipfile.ZipFile, name: str, wanted: dict[str, str]) -> dict[str, NDArray[np.float64]]:
    with archive.open(DATASET + name) as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="ascii"), delimiter=";")
        header = next(rows)
        places = {wanted[title]: index for index, title in enumerate(header) if title in wanted}
        if len(places) != len(wanted):
            raise SystemExit(f"{name}: columns missing, found only {sorted(places)}")
        table = [[float(row[index]) for index in places.values()] for row in rows]
    if len(table) != ROWS:
        raise SystemExit(f"{name}: {len(table)} rows, expected {ROWS}")
    return dict(zip(places, np.array(table).T, strict=True))


def write_extract(columns: dict[str, NDArray[np.float64]], target: Path) -> None:
    """Write the scaled columns. numpy dates every member of the archive 1980, so the bytes repeat."""
    # Wind at standstill is a hair below zero in the source (own use of the turbine): 0.00001 of its peak.
    scaled = {name: np.round(np.clip(column, 0.0, 1.0) * SCALE).astype("<i2") for name, column in columns.items()}
    np.savez_compressed(target, allow_pickle=False, **scaled)


def main() -> None:
    """Command line: WHEEL [TARGET]."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    default = Path(__file__).parent / "data" / "simbench_2016.npz"
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else default
    columns = read_columns(Path(sys.argv[1]))
    write_extract(columns, target)
    sys.stdout.write(f"{target}: {len(columns)} columns of {ROWS} quarter hours, {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
