from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mosquitto.keys import KeyPair


def test_a_saved_key_loads_and_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    key = KeyPair.generate()
    path = tmp_path / "keys" / "node"
    key.save(path)
    assert KeyPair.load(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_saving_never_overwrites_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KeyPair.generate().save(path)
    before = path.read_text()
    with pytest.raises(FileExistsError):
        KeyPair.generate().save(path)
    assert path.read_text() == before


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31, "ab" * 33])
def test_a_file_that_is_no_key_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.key"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.key"):
        KeyPair.load(path)


def test_the_secret_is_in_no_representation_of_a_key() -> None:
    seed = bytes(range(32))
    key = KeyPair.from_seed(seed)
    shown = f"{key} {key!r} {[key]}"
    assert seed.hex() not in shown
    assert repr(seed) not in shown
    assert key.public.hex() in shown


def test_derived_keys_follow_from_seed_and_name() -> None:
    assert KeyPair.derive(7, "meter-1") == KeyPair.derive(7, "meter-1")
    assert len({KeyPair.derive(seed, name).public for seed in (1, 2) for name in ("a", "b")}) == 4
