"""`--broker`: the user's broker in place of ours, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_harness import STREET, assert_ended_well, gridbazaar, live_run, require_one_view

from mosquitto.broker import BrokerProcess

pytestmark = pytest.mark.e2e


def test_a_run_on_a_broker_of_ones_own_starts_none_and_leaves_it_alone(
    own_broker: BrokerProcess, tmp_path: Path
) -> None:
    with live_run(tmp_path / "run", "--periods", "4", "--broker", str(own_broker.address), scenario=STREET) as run:
        run.wait_settled(1)
        assert not any("mosquitto.conf" in line for line in run.processes().values())
        assert_ended_well(run.finish(), 4)
        assert own_broker.is_alive
        assert run.deployment().brokers == (str(own_broker.address),)


def test_two_runs_share_one_broker_and_do_not_hear_each_other(own_broker: BrokerProcess, tmp_path: Path) -> None:
    options = ("--periods", "4", "--broker", str(own_broker.address))
    with (
        live_run(tmp_path / "one", *options, scenario=STREET) as one,
        live_run(tmp_path / "two", *options, scenario=STREET) as two,
    ):
        assert_ended_well(one.finish(), 4)
        assert_ended_well(two.finish(), 4)
        assert one.deployment().chain_id != two.deployment().chain_id
        require_one_view(one, two)
        assert one.rows("trades") == two.rows("trades")


@pytest.mark.parametrize(
    "url", ["localhost", "http://127.0.0.1:1883", "mqtt://", "mqtt://host:port", "mqtt://h:99999"]
)
def test_an_address_that_is_none_is_wrong_usage_and_leaves_no_folder(url: str, tmp_path: Path) -> None:
    ended = gridbazaar("run", STREET, "--out", tmp_path / "run", "--broker", url)
    assert ended.returncode == 2, ended.stderr
    assert url in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_broker_that_is_not_there_fails_with_one_sentence(free_port: int, tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port}"
    ended = gridbazaar("run", STREET, "--out", tmp_path / "run", "--broker", url)
    assert ended.returncode == 1, ended.stderr
    assert url in ended.stderr
    assert ended.stderr.count("\n") == 1
    # Nothing was started, so the folder is free for the next attempt.
    assert not (tmp_path / "run").exists()
