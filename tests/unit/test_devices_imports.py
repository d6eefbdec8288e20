import subprocess
import sys
from pathlib import Path

HEAVY = ("mesa", "pandas", "matplotlib", "pvlib", "scipy")


def test_a_device_host_starts_without_the_heavy_libraries() -> None:
    code = f"import devices.host, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_devices_know_of_the_market_only_readings_events_and_errors() -> None:
    allowed = ("market.readings", "market.events", "market.errors")
    folder = Path(__file__).parents[2] / "devices"
    lines = [line for file in sorted(folder.glob("*.py")) for line in file.read_text().splitlines()]
    imports = [line.split()[1] for line in lines if line.lstrip().startswith(("from ", "import "))]
    assert any(name in allowed for name in imports)
    assert [name for name in imports if name.split(".")[0] in ("agents", "ledger")] == []
    assert [name for name in imports if name.split(".")[0] == "market" and name not in allowed] == []
