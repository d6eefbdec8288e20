"""Green certificates: one for each full 1,000 kWh, never twice for the same energy."""

from __future__ import annotations

from market_world import REGULATOR, World, key

from market.market_events import CertificateAct, CertificateChange
from market.orders import Role
from market.receipts import ReasonCode
from market.supervision_transactions import Accredit, RetireCertificates, TransferCertificates


def mill(limit_wh: int = 3_000_000, role: Role = Role.PROSUMER) -> World:
    """An accredited generator that can export 3 MWh a period."""
    world = World()
    world.join("mill", role, limit_wh=limit_wh)
    world.join("ann")
    world.done(REGULATOR, Accredit(account=key("mill"), renewable=True))
    return world


def issued(world: World) -> list[CertificateChange]:
    return [event for event in world.outcome.events if isinstance(event, CertificateChange)]


def test_each_full_thousand_kilowatt_hours_brings_one() -> None:
    world = mill()
    world.run_period(mill=999_999)
    assert len(world.state.certificates) == 0
    world.run_period(mill=1)
    assert [world.state.certificates[serial].owner for serial in world.state.certificates.keys()] == [key("mill")]  # noqa: SIM118
    world.run_period(mill=2_500_000)
    assert world.state.certificates.keys() == [1, 2, 3]


def test_energy_taken_back_and_sent_again_counts_once() -> None:
    world = mill()
    world.run_period(mill=1_500_000)
    for _ in range(3):
        world.run_period(mill=-1_000_000)
        world.run_period(mill=1_000_000)
    assert len(world.state.certificates) == 1


def test_what_was_generated_before_accreditation_does_not_count() -> None:
    world = World()
    world.join("mill", limit_wh=3_000_000)
    world.run_period(mill=2_000_000)
    world.done(REGULATOR, Accredit(account=key("mill"), renewable=True))
    world.run_period(mill=900_000)
    assert len(world.state.certificates) == 0


def test_energy_of_a_silent_period_counts_when_it_is_read() -> None:
    world = mill()
    world.count("mill", 600_000)
    world.run_period()
    world.run_period(mill=400_000)
    assert len(world.state.certificates) == 1


def test_nobody_is_accredited_without_generation_or_by_anybody_else() -> None:
    world = mill()
    world.join("tom", Role.SPECULATOR)
    assert world.code(REGULATOR, Accredit(account=key("tom"), renewable=True)) is ReasonCode.NOT_A_GENERATOR
    assert world.code(key("ann"), Accredit(account=key("ann"), renewable=True)) is ReasonCode.NOT_REGULATOR


def test_a_certificate_changes_hands_and_is_retired_by_its_new_owner() -> None:
    world = mill()
    world.run_period(mill=2_000_000)
    world.done(key("mill"), TransferCertificates(serials=(1,), receiver=key("ann")))
    assert world.code(key("mill"), RetireCertificates(serials=(1,))) is ReasonCode.NOT_CERTIFICATE_OWNER
    world.done(key("ann"), RetireCertificates(serials=(1,)))
    assert issued(world) == [
        CertificateChange(act=CertificateAct.RETIRED, account=key("ann"), first_serial=1, last_serial=1)
    ]
    assert world.state.certificates.keys() == [2]
    assert world.state.head.retired == 1


def test_a_retired_certificate_is_gone_for_good() -> None:
    world = mill()
    world.run_period(mill=1_000_000)
    world.done(key("mill"), RetireCertificates(serials=(1,)))
    assert world.code(key("mill"), RetireCertificates(serials=(1,))) is ReasonCode.UNKNOWN_CERTIFICATE
    world.run_period(mill=1_000_000)
    assert world.state.certificates.keys() == [2]


def test_naming_a_certificate_twice_moves_nothing() -> None:
    world = mill()
    world.run_period(mill=1_000_000)
    twice = TransferCertificates(serials=(1, 1), receiver=key("ann"))
    assert world.code(key("mill"), twice) is ReasonCode.UNKNOWN_CERTIFICATE


def test_neighbouring_serials_are_announced_as_one_run() -> None:
    world = mill(limit_wh=9_000_000)
    world.run_period(mill=6_000_000)
    world.done(key("mill"), TransferCertificates(serials=(5, 1, 2, 6), receiver=key("ann")))
    assert [(change.first_serial, change.last_serial) for change in issued(world)] == [(1, 2), (5, 6)]
