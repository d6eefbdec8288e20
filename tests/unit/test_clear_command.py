"""`gridbazaar clear`: an order book from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents import cli

HEADING = "order_id,side,energy_wh,price_micro,issued_ms,region\n"


def book(folder: Path, *lines: str, heading: str = HEADING) -> str:
    path = folder / "book.csv"
    path.write_text(heading + "".join(f"{line}\n" for line in lines))
    return str(path)


def cleared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[dict[str, object]]]:
    assert cli.run(["clear", *arguments, "--json"]) == cli.DONE
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["trades", "unmatched"]
    assert isinstance(result, dict)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run(["clear", *arguments]) == cli.WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_highest_bid_meets_the_lowest_ask_at_the_midpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = book(
        tmp_path,
        "b1,buy,1000,200000,1,east",
        "b2,buy,500,300000,2,east",
        "s1,sell,800,100000,3,east",
        "s2,sell,900,150001,4,east",
    )
    assert cleared(capsys, path) == {
        "trades": [
            {"buy": "b2", "sell": "s1", "energy_wh": 500, "price_micro": 200_000},
            {"buy": "b1", "sell": "s1", "energy_wh": 300, "price_micro": 150_000},
            {"buy": "b1", "sell": "s2", "energy_wh": 700, "price_micro": 175_000},
        ],
        "unmatched": [{"order_id": "s2", "energy_wh": 200}],
    }


def test_every_order_is_in_one_of_the_two_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = book(tmp_path, "b,buy,10,1,0,east", "s,sell,10,2,0,east")
    result = cleared(capsys, path)
    assert result["trades"] == []
    assert result["unmatched"] == [{"order_id": "b", "energy_wh": 10}, {"order_id": "s", "energy_wh": 10}]


@pytest.mark.parametrize(("first", "second"), [("2", "10"), ("a10", "a2")])
def test_equal_prices_and_times_go_by_id_as_numbers_or_else_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str, second: str
) -> None:
    path = book(tmp_path, f"{second},buy,1,9,0,r", f"{first},buy,1,9,0,r", "0,sell,1,9,0,r")
    assert cleared(capsys, path)["trades"][0]["buy"] == first


def test_options_reach_the_mechanism(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = book(tmp_path, "b,buy,100,300000,0,east", "s,sell,60,100000,0,west")
    result = cleared(capsys, path, "--crossing-fee-micro", "40000", "--regulator-limit-micro", "250000")
    assert result["trades"] == [
        {"buy": "b", "sell": "s", "energy_wh": 60, "price_micro": 180_000},
        {"buy": "b", "sell": "regulator", "energy_wh": 40, "price_micro": 275_000},
    ]
    result = cleared(capsys, path, "--price-rule", "ask", "--crossing-fee-micro", "40000")
    assert result["trades"][0]["price_micro"] == 100_000
    assert cleared(capsys, path, "--crossing-fee-micro", "200001")["trades"] == []


def test_columns_may_stand_in_any_order_with_others_between(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = book(
        tmp_path,
        "x,east,b,5,7,buy,0",
        "y,east,s,5,7,sell,0",
        heading="\ufeffnote,region,order_id,energy_wh,price_micro,side,issued_ms\n",
    )
    assert cleared(capsys, path)["trades"] == [{"buy": "b", "sell": "s", "energy_wh": 5, "price_micro": 7}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("b,bid,1,1,0,east", "line 3: side = 'bid'; expected buy or sell"),
        ("b,buy,1.5,1,0,east", "line 3: energy_wh = '1.5'; expected an integer from 1 to 1000000000"),
        ("b,buy,0,1,0,east", "line 3: energy_wh = '0'"),
        ("b,buy,-3,1,0,east", "line 3: energy_wh = '-3'"),
        ("b,buy,1_0,1,0,east", "line 3: energy_wh = '1_0'"),
        ("b,buy,1,,0,east", "line 3: price_micro = ''; expected an integer from 0 to"),
        ("b,buy,1,99999999999999999999999,0,east", "line 3: price_micro = '999"),
        ("b,buy,1,1,noon,east", "line 3: issued_ms = 'noon'"),
        ("b,buy,1,1,0", "line 3: 5 fields; expected 6"),
        (",buy,1,1,0,east", "line 3: order_id = ''"),
        ("regulator,buy,1,1,0,east", "line 3: order_id = 'regulator'"),
        ("good,sell,1,1,0,east", "line 3: order_id = 'good' stands on line 2 already"),
    ],
)
def test_a_wrong_line_is_named_with_file_line_column_and_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    message = refused(capsys, book(tmp_path, "good,buy,1,1,0,east", line))
    assert f"book.csv: {words}" in message


def test_wrong_files_headings_and_options_end_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No such file" in refused(capsys, str(tmp_path / "none.csv"))
    assert "no column 'price_micro'" in refused(
        capsys, book(tmp_path, heading="order_id,side,energy_wh,price,issued_ms,region\n")
    )
    assert "stands twice" in refused(capsys, book(tmp_path, heading=HEADING.strip() + ",side\n"))
    path = book(tmp_path, "b,buy,1,1,0,east")
    assert "mechanism must be one of hlm" in refused(capsys, path, "--mechanism", "magic")
    assert "price-rule" in refused(capsys, path, "--price-rule", "dear")
    (tmp_path / "book.csv").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refused(capsys, path)


def test_without_json_a_person_reads_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = book(tmp_path, "b,buy,1000,200000,0,r", "s,sell,400,100000,0,r")
    assert cli.run(["clear", path]) == cli.DONE
    out = capsys.readouterr().out
    assert "1 trade, 400 Wh, mean price 0.1500 EUR/kWh" in out
    assert out.splitlines()[1].split() == ["b", "s", "400", "150000", "0"]
