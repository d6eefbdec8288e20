import pytest

from agents.model import MarketModel
from agents.regulator_agent import objection_to
from market.orders import Role
from market.transactions import Decision, MeterRegistration, Register


def registration(
    role: Role = Role.PROSUMER, region: str = "street", account: str = "bank", imports: int = 1, exports: int = 1
) -> Register:
    meter = MeterRegistration(meter_id="m", key=bytes(32), max_import_wh=imports, max_export_wh=exports)
    return Register(name_hash=bytes(32), role=role, region=region, settlement_account=account, meters=(meter,))


@pytest.mark.parametrize(
    ("asked", "objection"),
    [
        (registration(), ""),
        (registration(Role.PRODUCER, imports=0), ""),
        (registration(Role.CONSUMER, exports=0), ""),
        (registration(region="elsewhere"), "no such region"),
        (registration(account=""), "no settlement account"),
        (registration(Role.REGULATOR), "role is reserved"),
        (registration(Role.PRODUCER, exports=0), "a seller's meters must measure export"),
        (registration(Role.SPECULATOR, imports=0), "a buyer's meters must measure import"),
        (registration(Role.CONSUMER, imports=0), "a buyer's meters must measure import"),
    ],
)
def test_registrations_are_judged_by_rule(asked: Register, objection: str) -> None:
    assert objection_to(asked, ["street"]) == objection


def test_a_registration_without_a_meter_is_refused() -> None:
    asked = Register(name_hash=bytes(32), role=Role.CONSUMER, region="street", settlement_account="bank")
    assert objection_to(asked, ["street"]) == "no meter"


def test_the_regulator_says_why_it_refuses() -> None:
    regulator = MarketModel(exchange="direct").regulator
    assert regulator is not None
    refused = regulator.review(bytes(32), registration(region="elsewhere"))
    assert (refused.decision, refused.reason) == (Decision.REFUSE, "no such region")
    assert regulator.review(bytes(32), registration()).decision is Decision.APPROVE


def test_its_limits_are_the_scenarios() -> None:
    regulator = MarketModel(exchange="direct").regulator
    assert regulator is not None
    assert regulator.limits().ask_limit_micro == 300_000
