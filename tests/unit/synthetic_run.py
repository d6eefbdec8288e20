"""A committee of four that says what a test tells it to, and a day of a small market made from arithmetic.

For tests of observers and reports: the messages, signatures and bus are real, the market behind them is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.announcements import BlockAnnouncement, ReceiptLine, encode_receipts
from agents.deployment import Deployment, MemberEntry, MeterEntry, ParticipantEntry
from agents.recorder import Recorder
from agents.run_folder import RunFolder
from devices.telemetry import Telemetry
from market.events import Clearing, RegionPrice, Settlement, SettlementRow, Trade
from market.orders import Side
from market.receipts import ReasonCode
from market.transactions import PlaceOrder, encode_call
from mosquitto.batch import encode_batch
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.keys import KeyPair
from mosquitto.local_bus import LocalNetwork
from mosquitto.topics import Topics

NODES = ("energy-bureau", "grid-company", "notary-office", "trading-center")
START_MS = 1_461_110_400_000  # 2016-04-20T00:00:00Z
PERIOD_MS = 900_000
RETAIL, FEED_IN, FEE = 300_000, 80_000, 40_000


def key(name: str) -> KeyPair:
    return KeyPair.derive(11, name)


def deployment(homes: int = 4, periods: int = 8) -> Deployment:
    """Homes in two regions; the even ones have panels, an inverter and, every fourth, a battery."""
    return Deployment(
        chain_id="synthetic",
        scenario="synthetic",
        brokers=(),
        committee=tuple(MemberEntry(name=name, public_key=key(name).public) for name in NODES),
        authorities=(MemberEntry(name="grid-account", public_key=key("grid-account").public),),
        genesis={"retail_micro": RETAIL, "feed_in_micro": FEED_IN, "crossing_fee_micro": FEE},
        participants=tuple(_home(index) for index in range(homes)),
        periods=periods,
        period_ms=PERIOD_MS,
        first_period_ms=START_MS,
    )


def _home(index: int) -> ParticipantEntry:
    name = f"home-{index:02d}"
    return ParticipantEntry(
        name=name,
        account=key(name).public,
        region="east" if index % 4 < 2 else "west",
        role="prosumer" if index % 2 == 0 else "consumer",
        meters=(MeterEntry(meter_id=f"meter-{name}", public_key=key(f"meter-{name}").public),),
        devices=(f"inverter-{name}",) if index % 2 == 0 else (),
    )


class SyntheticCommittee:
    """Publishes, as any of its members, what the real nodes would publish."""

    def __init__(self, network: LocalNetwork, deployed: Deployment) -> None:
        self.network = network
        self.deployment = deployed
        self.topics = Topics(deployed.chain_id)
        self.bus = network.bus("committee")

    def say(self, kind: Kind, body: bytes, members: Iterable[int] = range(4)) -> None:
        topics = {
            Kind.PHASE: self.topics.phases,
            Kind.CLEARING: self.topics.clearings,
            Kind.SETTLEMENT: self.topics.settlements,
            Kind.BLOCK: self.topics.blocks,
            Kind.RECEIPTS: self.topics.receipts,
        }
        for member in members:
            name = NODES[member]
            envelope = sign(key(name), kind, self.deployment.chain_id, body)
            self.bus.publish(topics[kind](name), envelope.encode())

    def clearing(self, clearing: Clearing, members: Iterable[int] = range(4)) -> None:
        self.say(Kind.CLEARING, encode(clearing.to_values()), members)

    def settlement(self, settlement: Settlement, members: Iterable[int] = range(4)) -> None:
        self.say(Kind.SETTLEMENT, encode(settlement.to_values()), members)

    def block(self, height: int, period: int, transactions: int, members: Iterable[int] = range(4)) -> None:
        block = BlockAnnouncement(
            height=height,
            block_hash=height.to_bytes(32, "big"),
            state_root=(height + 1).to_bytes(32, "big"),
            time_ms=self.network.now_ms,
            period=period,
            transaction_count=transactions,
            view=0,
        )
        self.say(Kind.BLOCK, block.encode(), members)

    def receipts(self, height: int, lines: Sequence[ReceiptLine], members: Iterable[int] = range(4)) -> None:
        self.say(Kind.RECEIPTS, encode_receipts(height, lines), members)

    def order(self, name: str, side: Side, energy_wh: int, price_micro: int, period: int) -> bytes:
        """Send an order as its owner would; returns the transaction's id."""
        order = PlaceOrder(
            side=side, energy_wh=energy_wh, price_micro=price_micro, period=period, expiry_period=period
        )
        body = encode(encode_call(order, period + 3, 0))
        envelope = sign(key(name), Kind.TRANSACTION, self.deployment.chain_id, body)
        self.bus.publish(self.topics.transactions("east", "agents"), encode_batch([envelope.encode()]))
        return envelope.content_id()

    def telemetry(self, name: str, period: int, pv_wh: int, soc_wh: int) -> None:
        telemetry = Telemetry(
            device_id=f"inverter-{name}",
            period=period,
            pv_wh=pv_wh,
            soc_wh=soc_wh,
            charged_wh=0,
            discharged_wh=0,
            measured_ms=START_MS + (period + 1) * PERIOD_MS,
        )
        payload = telemetry.seal(key(f"meter-{name}"), self.deployment.chain_id)
        self.bus.publish(self.topics.telemetry(f"inverter-{name}"), payload)


def home_wh(index: int, period: int, periods: int) -> tuple[int, int]:
    """Load and generation of a home: two humps of load, one of sun."""
    day = period / periods
    load = (
        60
        + 25 * (index % 5)
        + 90 * math.exp(-(((day - 0.8) / 0.09) ** 2))
        + 50 * math.exp(-(((day - 0.3) / 0.06) ** 2))
    )
    sun = max(0.0, math.sin(math.pi * (day - 0.25) / 0.5)) if 0.25 < day < 0.75 else 0.0
    return round(load), round((700 + 60 * (index % 7)) * sun) if index % 2 == 0 else 0


def make_clearing(deployed: Deployment, period: int) -> Clearing:
    """Surplus meets deficit in the homes' order, at a price that falls with the sun."""
    surplus: dict[int, int] = {}
    deficit: dict[int, int] = {}
    for index in range(len(deployed.participants)):
        load, sun = home_wh(index, period, deployed.periods)
        (surplus if sun > load else deficit)[index] = abs(sun - load)
    offered, wanted = sum(surplus.values()), sum(deficit.values())
    trades: list[Trade] = []
    left = dict(surplus)
    for buyer, need in deficit.items():
        for seller, available in left.items():
            energy = min(available, need)
            if energy:
                trades.append(_trade(deployed, period, len(trades), buyer, seller, energy, offered, wanted))
                left[seller] = available - energy
                need -= energy  # noqa: PLW2901 (what the buyer still needs)
    return Clearing(
        period=period,
        time_ms=START_MS + period * PERIOD_MS,
        mechanism="hlm",
        prices=tuple(_region_price(region, trades) for region in deployed.regions),
        trades=tuple(trades),
        bid_wh=wanted,
        offered_wh=offered,
        traded_wh=sum(trade.energy_wh for trade in trades),
        ask_limit_micro=RETAIL,
        demand=tuple((RETAIL - 3_000 * rank, need) for rank, need in enumerate(deficit.values())),
        supply=tuple((FEED_IN + 3_000 * rank, energy) for rank, energy in enumerate(surplus.values())),
    )


def _trade(
    deployed: Deployment,
    period: int,
    number: int,
    buyer: int,
    seller: int,
    energy_wh: int,
    offered: int,
    wanted: int,
) -> Trade:
    buyer_home, seller_home = deployed.participants[buyer], deployed.participants[seller]
    return Trade(
        number=number,
        buy_order=1_000 * period + buyer + 1,
        sell_order=1_000 * period + seller + 1,
        buyer=buyer_home.account,
        seller=seller_home.account,
        buy_region=buyer_home.region,
        sell_region=seller_home.region,
        energy_wh=energy_wh,
        price_micro=FEED_IN + (RETAIL - FEED_IN - FEE) * wanted // (offered + wanted) + 500 * (number % 5),
        fee_micro=0 if buyer_home.region == seller_home.region else FEE,
    )


def _region_price(region: str, trades: Sequence[Trade]) -> RegionPrice:
    own = [trade for trade in trades if region in (trade.buy_region, trade.sell_region)]
    volume = sum(trade.energy_wh for trade in own)
    prices = [trade.price_micro for trade in own] or [0]
    return RegionPrice(
        region=region,
        lowest_micro=min(prices),
        highest_micro=max(prices),
        mean_micro=sum(trade.price_micro * trade.energy_wh for trade in own) // volume if volume else 0,
        highest_ask_micro=max(prices),
        volume_wh=volume,
    )


def make_settlement(deployed: Deployment, clearing: Clearing) -> Settlement:
    """Everybody deviates a little, by a rule; the grid balances it."""
    positions = clearing.positions_wh()
    rows = []
    for index, home in enumerate(deployed.participants):
        load, sun = home_wh(index, clearing.period, deployed.periods)
        metered = sun - load + (index * 7 + clearing.period * 3) % 21 - 10
        imbalance = metered - positions.get(home.account, 0)
        sold = [trade for trade in clearing.trades if trade.seller == home.account]
        bought = [trade for trade in clearing.trades if trade.buyer == home.account]
        rows.append(
            SettlementRow(
                account=home.account,
                sold_wh=sum(trade.energy_wh for trade in sold),
                bought_wh=sum(trade.energy_wh for trade in bought),
                import_wh=max(0, -metered),
                export_wh=max(0, metered),
                metered_wh=metered,
                imbalance_wh=imbalance,
                estimated=index == 1 and clearing.period == 3,
                bought_nano=sum(trade.energy_wh * trade.price_micro for trade in bought),
                fee_nano=sum(trade.energy_wh * trade.fee_micro for trade in bought),
                sold_nano=sum(trade.energy_wh * trade.price_micro for trade in sold),
                imbalance_nano=imbalance * (FEED_IN if imbalance > 0 else RETAIL),
                penalty_nano=1_000 * abs(imbalance),
                reward_nano=900 * abs(imbalance),
                balance_nano=10**9,
                arrears_nano=0,
                owed_nano=0,
                reputation_ppm=min(1_000_000, 100_000 * (clearing.period + 1 + index % 3)),
            )
        )
    return Settlement(
        period=clearing.period,
        time_ms=START_MS + (clearing.period + 1) * PERIOD_MS,
        rows=tuple(sorted(rows, key=lambda row: row.account)),
        grid_nano=0,
        pot_nano=0,
    )


def record_day(path: Path, *, homes: int = 4, periods: int = 8, settled: int | None = None) -> RunFolder:
    """A run folder that the real recorder has written; `settled` periods of `periods` came to their end."""
    deployed = deployment(homes, periods)
    folder = RunFolder.create(path, '[scenario]\nname = "synthetic"\n')
    folder.write_deployment(deployed)
    network = LocalNetwork(start_ms=START_MS)
    recorder = Recorder(folder, deployed, network.bus("recorder"), lambda: network.now_ms)
    committee = SyntheticCommittee(network, deployed)
    for period in range(periods if settled is None else settled):
        _one_period(committee, period)
    recorder.close()
    return folder


def _one_period(committee: SyntheticCommittee, period: int) -> None:
    network, deployed = committee.network, committee.deployment
    lines = []
    for index, home in enumerate(deployed.participants):
        load, sun = home_wh(index, period, deployed.periods)
        side = Side.SELL if sun > load else Side.BUY
        tx_id = committee.order(home.name, side, max(1, abs(sun - load)), FEED_IN + 1_000 * index, period)
        lines.append(ReceiptLine(tx_id, ReasonCode.OK, 1_000 * period + index + 1))
    committee.bus.poll(0)
    for _ in range(2 + period % 3):  # The longer the later: latencies differ.
        committee.bus.poll(0.012)
    committee.receipts(2 * period + 1, lines)
    committee.block(2 * period + 1, period, len(lines))
    clearing = make_clearing(deployed, period)
    committee.clearing(clearing)
    for index, home in enumerate(deployed.participants):
        if home.devices:
            committee.telemetry(
                home.name, period, home_wh(index, period, deployed.periods)[1], 3_000 + 10 * period
            )
    committee.settlement(make_settlement(deployed, clearing))
    committee.block(2 * period + 2, period, 3)
    committee.bus.poll(0)
    assert network.now_ms > START_MS
