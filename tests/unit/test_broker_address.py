from __future__ import annotations

from pathlib import Path

import pytest

from mosquitto.address import PASSWORD_FILE_VARIABLE, PASSWORD_VARIABLE, BrokerAddress, broker_password
from mosquitto.errors import BrokerError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://127.0.0.1:1884", BrokerAddress("127.0.0.1", 1884)),
        ("mqtt://broker.example", BrokerAddress("broker.example", 1883)),
        ("mqtts://meter@broker.example", BrokerAddress("broker.example", 8883, "meter", tls=True)),
        ("mqtt://[::1]:2000/", BrokerAddress("::1", 2000)),
    ],
)
def test_an_address_is_read_and_written_again(text: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(text) == address
    assert BrokerAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:1883",
        "http://host",
        "mqtt://",
        "mqtt://host:99999",
        "mqtt://host:x",
        "mqtt://host:0",
        "mqtt://h/t",
    ],
)
def test_what_is_no_address_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(BrokerError, match="broker address"):
        BrokerAddress.parse(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BrokerError, match=PASSWORD_VARIABLE) as caught:
        BrokerAddress.parse("mqtt://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_the_password_comes_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    assert broker_password({}) is None
    assert broker_password({PASSWORD_VARIABLE: "from variable", PASSWORD_FILE_VARIABLE: "x"}) == "from variable"
    assert broker_password({PASSWORD_FILE_VARIABLE: str(file)}) == "from file"
    with pytest.raises(BrokerError, match="missing"):
        broker_password({PASSWORD_FILE_VARIABLE: str(tmp_path / "missing")})
