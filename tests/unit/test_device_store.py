from dataclasses import replace
from pathlib import Path

import pytest

from devices.errors import StateError
from devices.simulated_site import SiteState
from devices.store import DeviceStore, StoredMessage

STATE = SiteState(
    import_uwh=1,
    export_uwh=2,
    counter=3,
    last_period=4,
    next_period=5,
    stored_wh=0.1 + 0.2,
    charged_wh=1 / 3,
    discharged_wh=0.0,
    losses_wh=1e-12,
)


def test_states_come_back_to_the_last_bit_and_messages_in_order(tmp_path: Path) -> None:
    messages = [StoredMessage("b", b"\x00\xff"), StoredMessage("a", b"")]
    store = DeviceStore(tmp_path / "state", "c1", "east")
    store.save_period({"m": STATE}, [StoredMessage("old", b"old")])
    store.save_period({"m": STATE}, messages)
    store.close()
    again = DeviceStore(tmp_path / "state", "c1", "east")
    assert again.load_sites() == {"m": STATE}
    assert again.last_messages() == messages


def test_agreed_positions_are_kept_for_a_while(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "state", "c1", "east")
    store.save_clearing(3, {b"a": 5, b"b": -5}, keep_from=0)
    store.save_clearing(4, {}, keep_from=0)
    assert store.load_clearings() == {3: {b"a": 5, b"b": -5}, 4: {}}
    store.save_clearing(9, {b"a": 1}, keep_from=4)
    assert store.load_clearings() == {4: {}, 9: {b"a": 1}}


@pytest.mark.parametrize(("chain_id", "host"), [("c2", "east"), ("c1", "west")])
def test_the_state_of_another_chain_or_host_is_refused(tmp_path: Path, chain_id: str, host: str) -> None:
    DeviceStore(tmp_path / "state", "c1", "east").close()
    with pytest.raises(StateError, match=r"expected \(2, '" + chain_id):
        DeviceStore(tmp_path / "state", chain_id, host)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"not a database, but long enough to have a header of one hundred bytes" * 3)
    before = path.read_bytes()
    with pytest.raises(StateError, match="cannot be read"):
        DeviceStore(path, "c1", "east")
    assert path.read_bytes() == before


def test_a_disk_that_is_full_is_a_state_error_and_leaves_the_last_period_whole(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "state", "c1", "east")
    store.save_period({"m": STATE}, [StoredMessage("a", b"x")])
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StateError, match="cannot be written"):
        store.save_period({"m": replace(STATE, counter=9)}, [StoredMessage("a", bytes(1_000_000))])
    store.close()
    again = DeviceStore(tmp_path / "state", "c1", "east")
    assert again.load_sites() == {"m": STATE}
    assert again.last_messages() == [StoredMessage("a", b"x")]


def test_a_state_serves_one_host_at_a_time(tmp_path: Path) -> None:
    store = DeviceStore(tmp_path / "state", "c1", "east")
    with pytest.raises(StateError, match="locked"):
        DeviceStore(tmp_path / "state", "c1", "east")
    store.close()
    DeviceStore(tmp_path / "state", "c1", "east").close()
