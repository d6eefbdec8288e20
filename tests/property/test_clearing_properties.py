"""What must hold for every order book, and a slow, obvious twin to agree with."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from market.clearing import ClearingResult, ClearingRules, clear
from market.orders import STANDING_ASK, Order, Side


@st.composite
def books(draw: st.DrawFn, regions: str = "abc", restricted: bool = True) -> list[Order]:
    """Small numbers, so that ties and exact fills are the rule."""
    size = draw(st.integers(0, 14))
    return [
        Order(
            number=number,
            side=draw(st.sampled_from(Side)),
            energy_wh=draw(st.integers(1, 6)),
            price_micro=draw(st.integers(0, 12)),
            issued_ms=draw(st.integers(0, 2)),
            region=draw(st.sampled_from(regions)),
            region_only=restricted and draw(st.integers(0, 4)) == 0,
        )
        for number in range(1, size + 1)
    ]


@st.composite
def rule_sets(draw: st.DrawFn) -> ClearingRules:
    price_rule = draw(st.sampled_from(("midpoint", "bid", "ask", "uniform")))
    region_priority = draw(st.sampled_from(("strict", "tie")))
    free = price_rule == "uniform" and region_priority == "tie"
    return ClearingRules(
        price_rule=price_rule,
        region_priority=region_priority,
        crossing_fee_micro=0 if free else draw(st.integers(0, 4)),
        ask_limit_micro=draw(st.integers(0, 12)),
    )


def traded_wh(result: ClearingResult) -> dict[int, int]:
    traded: dict[int, int] = defaultdict(int)
    for trade in result.trades:
        traded[trade.buy] += trade.energy_wh
        traded[trade.sell] += trade.energy_wh
    return traded


@given(books(), rule_sets())
def test_every_order_is_traded_or_left_to_the_last_watt_hour(book: list[Order], rules: ClearingRules) -> None:
    result = clear("hlm", book, rules)
    traded = traded_wh(result)
    left = {residual.number: residual.energy_wh for residual in result.unmatched}
    assert len(left) == len(result.unmatched)
    for order in book:
        assert traded[order.number] + left.get(order.number, 0) == order.energy_wh
    assert set(traded) | set(left) <= {order.number for order in book} | {STANDING_ASK}


@given(books(), rule_sets())
def test_nobody_trades_at_a_loss_and_fees_are_paid_across_regions_only(
    book: list[Order], rules: ClearingRules
) -> None:
    orders = {order.number: order for order in book}
    for trade in clear("hlm", book, rules).trades:
        buyer = orders[trade.buy]
        assert buyer.side is Side.BUY
        assert trade.energy_wh > 0
        assert trade.price_micro + trade.fee_micro <= buyer.price_micro
        if trade.sell == STANDING_ASK:
            assert trade.price_micro >= rules.ask_limit_micro > 0
            assert trade.fee_micro == 0
            assert not buyer.region_only
            continue
        seller = orders[trade.sell]
        assert seller.side is Side.SELL
        assert trade.price_micro >= seller.price_micro
        crosses = buyer.region != seller.region
        assert trade.fee_micro == (rules.crossing_fee_micro if crosses else 0)
        assert not crosses or not (buyer.region_only or seller.region_only)


@given(books(), rule_sets(), st.randoms(use_true_random=False))
def test_the_order_in_which_a_book_is_listed_does_not_matter(
    book: list[Order], rules: ClearingRules, random: object
) -> None:
    shuffled = list(book)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert clear("hlm", shuffled, rules).trades == clear("hlm", book, rules).trades


@given(books(), rule_sets())
def test_price_then_time_within_a_region_and_side(book: list[Order], rules: ClearingRules) -> None:
    """Nothing trades while an order with a better place, of its region, side and conditions, has some left."""
    result = clear("hlm", book, rules)
    traded = traded_wh(result)
    left = {residual.number: residual.energy_wh for residual in result.unmatched}
    for worse in book:
        if not traded[worse.number]:
            continue
        for better in book:
            same = (better.side, better.region, better.region_only) == (
                worse.side,
                worse.region,
                worse.region_only,
            )
            sign = -1 if better.side is Side.BUY else 1
            rank = (sign * better.price_micro, better.issued_ms, better.number)
            if same and rank < (sign * worse.price_micro, worse.issued_ms, worse.number):
                assert better.number not in left


@given(books(), rule_sets())
def test_no_pair_is_left_that_both_would_trade(book: list[Order], rules: ClearingRules) -> None:
    left = {residual.number for residual in clear("hlm", book, rules).unmatched}
    for bid in (order for order in book if order.side is Side.BUY and order.number in left):
        if rules.ask_limit_micro and not bid.region_only:
            assert bid.price_micro < rules.ask_limit_micro
        for ask in (order for order in book if order.side is Side.SELL and order.number in left):
            if bid.region == ask.region:
                assert bid.price_micro < ask.price_micro
            elif not (bid.region_only or ask.region_only):
                assert bid.price_micro < ask.price_micro + rules.crossing_fee_micro


def _twin(book: list[Order], rules: ClearingRules) -> list[tuple[int, int, int, int]]:
    """Huang 2022, section 2.2 (6), one watt-hour at a time, in one region."""
    units = [order for order in book for _ in range(order.energy_wh)]
    bids = sorted((o for o in units if o.side is Side.BUY), key=lambda o: (-o.price_micro, o.issued_ms, o.number))
    asks = [(o.price_micro, 0, o.issued_ms, o.number) for o in units if o.side is Side.SELL]
    if rules.ask_limit_micro:
        asks += [(rules.ask_limit_micro, 1, 0, STANDING_ASK)] * (len(units) + 1)
    asks.sort()
    pairs = [(b, a) for b, a in zip(bids, asks, strict=False) if b.price_micro >= a[0]]
    count = len(pairs)
    low = max([a[0] for _, a in pairs] + [b.price_micro for b in bids[count : count + 1]], default=0)
    high = min([b.price_micro for b, _ in pairs] + [a[0] for a in asks[count : count + 1]], default=0)
    prices = {
        "midpoint": [(b.price_micro + a[0]) // 2 for b, a in pairs],
        "bid": [b.price_micro for b, _ in pairs],
        "ask": [a[0] for _, a in pairs],
        "uniform": [(low + high) // 2] * count,
    }
    merged: dict[tuple[int, int, int], int] = defaultdict(int)
    for (bid, ask), price_micro in zip(pairs, prices[rules.price_rule], strict=True):
        merged[bid.number, ask[3], price_micro] += 1
    return [(buy, sell, energy_wh, price_micro) for (buy, sell, price_micro), energy_wh in merged.items()]


@settings(max_examples=300)
@given(books(regions="a", restricted=False), rule_sets())
def test_in_one_region_it_is_the_papers_matching_one_watt_hour_at_a_time(
    book: list[Order], rules: ClearingRules
) -> None:
    trades = [(t.buy, t.sell, t.energy_wh, t.price_micro) for t in clear("hlm", book, rules).trades]
    assert trades == _twin(book, rules)


@given(books(restricted=False), st.integers(0, 12))
def test_without_a_fee_one_book_ignores_regions_but_for_ties(book: list[Order], limit_micro: int) -> None:
    rules = ClearingRules(region_priority="tie", ask_limit_micro=limit_micro)
    with_regions = clear("hlm", book, rules)
    anywhere = [
        Order(
            number=order.number,
            side=order.side,
            energy_wh=order.energy_wh,
            price_micro=order.price_micro,
            issued_ms=order.issued_ms,
        )
        for order in book
    ]
    without = clear("hlm", anywhere, rules)
    for result in (with_regions, without):
        assert all(trade.fee_micro == 0 for trade in result.trades)
    assert {n: e for n, e in traded_wh(with_regions).items() if _buys(book, n)} == {
        n: e for n, e in traded_wh(without).items() if _buys(book, n)
    }
    # Which of two equal asks sells may differ; what the energy costs may not.
    assert sum(t.energy_wh * t.ask_micro for t in with_regions.trades) == sum(
        t.energy_wh * t.ask_micro for t in without.trades
    )


def _buys(book: list[Order], number: int) -> bool:
    return any(order.number == number and order.side is Side.BUY for order in book)


@settings(max_examples=200)
@given(books(restricted=False), rule_sets())
def test_at_a_uniform_price_nobody_of_the_region_left_out_would_have_traded(
    book: list[Order], rules: ClearingRules
) -> None:
    """No envy inside a region's own book: those left out did not want the price that the others got."""
    if rules.price_rule != "uniform" or rules.region_priority != "strict":
        return
    orders = {order.number: order for order in book}
    result = clear("hlm", book, rules)
    left = {residual.number for residual in result.unmatched}
    for trade in result.trades:
        buyer = orders[trade.buy]
        seller = orders.get(trade.sell)
        if seller is None or buyer.region != seller.region:
            continue
        for order in (orders[number] for number in left if orders[number].region == buyer.region):
            if order.side is Side.SELL:
                assert order.price_micro >= trade.price_micro
            else:
                assert order.price_micro <= trade.price_micro
