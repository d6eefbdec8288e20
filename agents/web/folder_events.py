"""A run folder's tables as the events they were written from, period by period, without reading them whole.

For a run that is over, for what happened before the page was started, and for periods that are no longer
in memory.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agents.announcements import BlockAnnouncement
from agents.deployment import Deployment
from agents.errors import RunFolderError
from agents.run_folder import RunFolder
from agents.web.facts import OrderLine, PeriodFacts
from devices.telemetry import Telemetry
from market.events import Clearing, RegionPrice, Settlement, SettlementRow, Trade
from market.receipts import ReasonCode
from market.units import PERIOD_MAX

Cells = dict[str, str]

_CHUNK_BYTES: Final = 1 << 20


class PeriodFile:
    """A CSV file that another process appends to, with an index of where each period's lines stand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []
        self._column = 0
        self._end = 0
        self._places: dict[int, list[tuple[int, int]]] = {}

    def scan(self) -> None:
        """Index whole lines that are new. A file that is not there yet has none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                while data := file.read(_CHUNK_BYTES):
                    whole = data[: data.rfind(b"\n") + 1]
                    if not whole:
                        break  # A line that is still being written, or no CSV file of ours.
                    self._index(whole)
                    file.seek(self._end)
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be read: {error.strerror or error}") from None

    def periods(self) -> list[int]:
        """The periods that have lines, in order."""
        return sorted(self._places)

    def rows(self, period: int) -> Iterator[Cells]:
        """A period's lines. Lines with a wrong number of cells are left out."""
        places = self._places.get(period)
        if not places:
            return
        with self.path.open("rb") as file:
            for start, end in places:
                file.seek(start)
                text = file.read(end - start).decode("utf-8", errors="replace")
                for cells in csv.reader(io.StringIO(text)):
                    if len(cells) == len(self._columns):
                        yield dict(zip(self._columns, cells, strict=True))

    def _index(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            start, self._end = self._end, self._end + len(line)
            cells = line.rstrip(b"\r\n").split(b",", self._column + 1)
            if not self._columns:
                self._columns = line.decode("utf-8", errors="replace").strip().split(",")
                self._column = self._columns.index("period") if "period" in self._columns else 0
                continue
            if len(cells) <= self._column or not cells[self._column].isdigit():
                continue
            period = int(cells[self._column][:12])
            places = self._places.setdefault(min(period, PERIOD_MAX), [])
            if places and places[-1][1] == start:
                places[-1] = (places[-1][0], self._end)
            else:
                places.append((start, self._end))


class FolderEvents:
    """What the recorder wrote, as events again. Money that the tables do not have (arrears) is 0."""

    def __init__(self, folder: RunFolder, deployment: Deployment) -> None:
        self.folder = folder
        self.deployment = deployment
        self._keys = {name: key for key, name in deployment.names.items()}
        self._mechanism = str(deployment.genesis.get("mechanism", ""))
        self.periods = PeriodFile(folder.periods_csv)
        self.agents = PeriodFile(folder.agents_csv)
        self._prices = PeriodFile(folder.prices_csv)
        self._trades = PeriodFile(folder.trades_csv)
        self._curves = PeriodFile(folder.curves_csv)
        self._settlements = PeriodFile(folder.settlements_csv)
        self._orders = PeriodFile(folder.orders_csv)
        self._telemetry = PeriodFile(folder.telemetry_csv)
        self._blocks = PeriodFile(folder.blocks_csv)

    def scan(self) -> list[int]:
        """Look for new lines; returns all settled periods. The tables written before `periods.csv` are whole."""
        self.periods.scan()
        settled = self.periods.periods()
        for file in (self._prices, self._trades, self._curves, self._settlements):
            file.scan()
        for file in (self._orders, self._telemetry, self._blocks):
            file.scan()
        return settled

    def facts(self, period: int) -> PeriodFacts | None:
        """A settled period; None when it is not in the tables. Raises RunFolderError for garbled ones."""
        try:
            line = next(self.periods.rows(period), None)
            if line is None:
                return None
            settlement = Settlement(
                period=period,
                time_ms=_integer(line["settled_ms"]),
                rows=tuple(self._settlement_row(cells) for cells in self._settlements.rows(period)),
                grid_nano=0,
                pot_nano=0,
            )
            clearing = self._clearing(period, line) if line["traded_wh"] else None
        except (KeyError, ValueError) as error:
            raise RunFolderError(f"{self.folder.path}: tables of period {period}: {error}") from None
        return PeriodFacts(period=period, clearing=clearing, settlement=settlement)

    def orders(self, period: int) -> Iterator[OrderLine]:
        """The orders that were accepted for a period."""
        for cells in self._orders.rows(period):
            yield OrderLine(
                period=period,
                account=self._key(cells["account"]),
                side=cells["side"],
                energy_wh=_integer(cells["energy_wh"]),
                price_micro=_integer(cells["price_micro"]),
                number=_integer(cells["order"]),
                code=ReasonCode.OK,
                height=_integer(cells["height"]),
            )

    def telemetry(self, period: int) -> Iterator[Telemetry]:
        """What inverters said of a period."""
        for cells in self._telemetry.rows(period):
            yield Telemetry(
                device_id=cells["device"],
                period=period,
                pv_wh=_integer(cells["pv_wh"]),
                soc_wh=_integer(cells["soc_wh"]),
                charged_wh=_integer(cells["charged_wh"]),
                discharged_wh=_integer(cells["discharged_wh"]),
                measured_ms=0,
            )

    def forecasts(self, period: int) -> Iterator[tuple[str, float]]:
        """Name and expectation in Wh of each agent for a period. `agents.scan()` finds new ones."""
        for cells in self.agents.rows(period):
            if cells.get("forecast_wh"):
                yield cells["account"], float(cells["forecast_wh"])

    def blocks(self, period: int) -> Iterator[BlockAnnouncement]:
        """The blocks of a period, as f + 1 nodes announced them."""
        for cells in self._blocks.rows(period):
            yield BlockAnnouncement(
                height=_integer(cells["height"]),
                block_hash=bytes.fromhex(cells["block_hash"]),
                state_root=bytes.fromhex(cells["state_root"]),
                time_ms=_integer(cells["time_ms"]),
                period=period,
                transaction_count=_integer(cells["transactions"]),
                view=_integer(cells["view"]),
            )

    def block_periods(self) -> list[int]:
        """The periods that blocks belong to: the last blocks are of one that is never settled."""
        return self._blocks.periods()

    def _key(self, name: str) -> bytes:
        return self._keys.get(name) or name.encode()[:32].ljust(32, b"\0")

    def _clearing(self, period: int, line: Cells) -> Clearing:
        trades = tuple(self._trade(cells) for cells in self._trades.rows(period))
        curves: dict[str, list[tuple[int, int]]] = {"buy": [], "sell": []}
        limit_micro = 0
        for cells in self._curves.rows(period):
            if cells["energy_wh"]:
                curves[cells["side"]].append((_integer(cells["price_micro"]), _integer(cells["energy_wh"])))
            else:
                limit_micro = _integer(cells["price_micro"])
        return Clearing(
            period=period,
            time_ms=_integer(line["closed_ms"]),
            mechanism=self._mechanism,
            prices=tuple(_region_price(cells) for cells in self._prices.rows(period)),
            trades=trades,
            bid_wh=_integer(line["bid_wh"]),
            offered_wh=_integer(line["offered_wh"]),
            traded_wh=_integer(line["traded_wh"]),
            ask_limit_micro=limit_micro,
            demand=tuple(curves["buy"]),
            supply=tuple(curves["sell"]),
        )

    def _trade(self, cells: Cells) -> Trade:
        return Trade(
            number=_integer(cells["trade"]),
            buy_order=_integer(cells["buy_order"]),
            sell_order=_integer(cells["sell_order"]),
            buyer=self._key(cells["buyer"]),
            seller=self._key(cells["seller"]),
            buy_region=cells["buy_region"],
            sell_region=cells["sell_region"],
            energy_wh=_integer(cells["energy_wh"]),
            price_micro=_integer(cells["price_micro"]),
            fee_micro=_integer(cells["fee_micro"]),
        )

    def _settlement_row(self, cells: Cells) -> SettlementRow:
        names = (
            "sold_wh", "bought_wh", "import_wh", "export_wh", "metered_wh", "imbalance_wh", "bought_nano",
            "fee_nano", "sold_nano", "imbalance_nano", "penalty_nano", "reward_nano", "balance_nano",
            "reputation_ppm",
        )  # fmt: skip
        return SettlementRow(
            account=self._key(cells["account"]),
            estimated=cells["estimated"] == "1",
            arrears_nano=0,
            owed_nano=0,
            **{name: _integer(cells[name]) for name in names},
        )


def _region_price(cells: Cells) -> RegionPrice:
    return RegionPrice(
        region=cells["region"],
        lowest_micro=_integer(cells["lowest_price_micro"]),
        highest_micro=_integer(cells["highest_price_micro"]),
        mean_micro=_integer(cells["price_micro"]),
        highest_ask_micro=_integer(cells["highest_ask_micro"]),
        volume_wh=_integer(cells["traded_wh"]),
    )


def _integer(text: str) -> int:
    """An integer cell; an empty one stands for none and is 0."""
    return int(text) if text else 0
