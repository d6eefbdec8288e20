"""The contract as the ledger's application: bytes in, bytes out, and nothing opened twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_world import CONFIG

from agents import market_application
from agents.market_application import MarketApplication
from ledger.application import Admitted, Refused
from market.orders import Role
from market.transactions import ClosePeriod, Register, encode_call
from mosquitto.codec import encode
from mosquitto.envelope import Envelope, Kind, sign
from mosquitto.keys import KeyPair

CHAIN = "chain"
KEY = KeyPair.derive(1, "somebody")


def registration(nonce: int = 0) -> Envelope:
    call = Register(name_hash=bytes(32), role=Role.CONSUMER, region="east", settlement_account="account")
    return sign(KEY, Kind.TRANSACTION, CHAIN, encode(encode_call(call, 2, nonce)))


@pytest.fixture
def application() -> MarketApplication:
    return MarketApplication(CONFIG, CHAIN)


def test_what_is_sent_again_is_answered_from_memory(
    application: MarketApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = registration().encode()
    first = application.check(data)
    assert isinstance(first, Admitted)

    def open_nothing(*arguments: object) -> Envelope:
        raise AssertionError("opened again")

    monkeypatch.setattr(market_application, "open_envelope", open_nothing)
    monkeypatch.setattr(market_application, "parse", open_nothing)
    assert application.check(bytes(bytearray(data))) == first
    assert application.screen(first) is None
    execution = application.execute(1, 1_000, [data])
    assert execution.receipts == (encode((0, 0)),)
    with pytest.raises(AssertionError, match="opened again"):
        application.check(registration(nonce=1).encode())


def test_memory_of_a_transaction_does_not_excuse_another_signature_of_the_same_content(
    application: MarketApplication,
) -> None:
    envelope = registration()
    assert isinstance(application.check(envelope.encode()), Admitted)
    for position in (0, 31, 32, 63):
        signature = bytearray(envelope.signature)
        signature[position] ^= 1
        forged = Envelope(
            kind=envelope.kind,
            chain_id=CHAIN,
            signer=envelope.signer,
            body=envelope.body,
            signature=bytes(signature),
        )
        assert forged.content_id() == envelope.content_id()
        assert isinstance(application.check(forged.encode()), Refused)


def test_memory_is_bounded_and_what_it_forgot_is_opened_anew(
    application: MarketApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_application, "OPENED_MAX", 3)
    sent = [registration(nonce).encode() for nonce in range(10)]
    answers = [application.check(data) for data in sent]
    assert len(application._opened) == 3
    assert [application.check(data) for data in sent] == answers


def test_memory_changes_no_result(application: MarketApplication) -> None:
    blocks = [[registration(nonce).encode(), b"rubbish", registration(nonce).encode()] for nonce in range(4)]
    without = MarketApplication(CONFIG, CHAIN)
    for height, block in enumerate(blocks, start=1):
        for data in block:
            application.check(data)
        assert application.execute(height, height, block) == without.execute(height, height, block)
    assert application.state_root() == without.state_root()


def test_invariants_are_checked_at_the_asked_pace_and_whenever_a_period_moved_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[int] = []
    application = MarketApplication(CONFIG, CHAIN, check_every=4)
    monkeypatch.setattr(application, "_look_for_violations", lambda height, root: checked.append(height))
    operator = KeyPair.derive(1, "operator")
    closing = MarketApplication(replace(CONFIG, committee=(operator.public,)), CHAIN, check_every=4)
    monkeypatch.setattr(closing, "_look_for_violations", lambda height, root: checked.append(-height))
    for height in range(1, 10):
        application.execute(height, height, [registration(height).encode()])
    assert checked == [4, 8]
    close = encode(encode_call(ClosePeriod(period=0, time_ms=5), 2, 0))
    closing.execute(5, 5, [sign(operator, Kind.TRANSACTION, CHAIN, close).encode()])
    assert checked == [4, 8, -5]


def test_a_broken_invariant_is_kept_and_does_not_stop_the_node() -> None:
    application = MarketApplication(CONFIG, CHAIN)
    application.execute(1, 1, [registration().encode()])
    application.state.head.deposits_nano += 1
    application.execute(2, 2, [])
    assert len(application.violations) == 1
    assert application.violations[0].startswith("block 2: ")
