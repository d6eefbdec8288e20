"""Finding a mosquitto broker, or getting one: `python -m mosquitto.install`.

In this order: the one that is there; the system's package, when this is root on Debian or a relative of
it; the same package unpacked below `sys.prefix` (the virtual environment), which needs no root and
changes nothing else on the machine; or a sentence that says what to install.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mosquitto.errors import BrokerError

PATH_VARIABLE: Final = "GRIDBAZAAR_MOSQUITTO"
"""Environment variable that names a mosquitto program to use before all others."""

_USUAL_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/opt/local/sbin")
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_INSTALL_HINTS: Final = (
    ("brew", "run `brew install mosquitto`"),
    ("apt-get", "run `apt-get install mosquitto` as root"),
    ("dnf", "run `dnf install mosquitto` as root"),
    ("zypper", "run `zypper install mosquitto` as root"),
    ("pacman", "run `pacman -S mosquitto` as root"),
    ("apk", "run `apk add mosquitto` as root"),
    ("port", "run `port install mosquitto` as root"),
)
_APT_LIMIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class BrokerBinary:
    """A mosquitto program that runs here. `environment` is to be added to the process's own."""

    path: Path
    environment: Mapping[str, str]

    def version(self) -> str | None:
        """What it calls itself, such as `2.0.11`; None when it does not start or is something else."""
        try:
            shown = subprocess.run(
                [self.path, "-h"],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r"mosquitto version (\S+)", shown.stdout + shown.stderr)
        return found[1] if found else None


def unpacked_folder(prefix: Path | None = None) -> Path:
    """Where a broker is unpacked when there is no root: inside the virtual environment."""
    return (prefix or Path(sys.prefix)) / "opt" / "mosquitto"


def find_broker(
    environment: Mapping[str, str] | None = None,
    folders: Sequence[str] = _USUAL_FOLDERS,
    prefix: Path | None = None,
) -> BrokerBinary | None:
    """The first mosquitto that starts, or None.

    Looks at GRIDBAZAAR_MOSQUITTO, the PATH, the folders where systems keep daemons (often not on a
    user's PATH), and what this program unpacked itself. The arguments replace the places to look at.
    """
    variables = os.environ if environment is None else environment
    chosen = variables.get(PATH_VARIABLE)
    if chosen:
        named = BrokerBinary(Path(chosen), {})
        if named.version() is None:
            raise BrokerError(f"{PATH_VARIABLE} names {chosen!r}, which does not start as a mosquitto broker")
        return named
    on_path = shutil.which("mosquitto", path=variables.get("PATH", os.defpath))
    candidates = [BrokerBinary(Path(on_path), {})] if on_path else []
    candidates += [BrokerBinary(Path(folder) / "mosquitto", {}) for folder in folders]
    candidates.append(_unpacked_binary(unpacked_folder(prefix)))
    for candidate in candidates:
        if candidate.path.is_file() and candidate.version() is not None:
            return candidate
    return None


def require_broker() -> BrokerBinary:
    """The broker to run. Raises BrokerError with what to do when there is none."""
    found = find_broker()
    if found is None:
        raise BrokerError(f"no mosquitto broker on this machine: run `make setup`, or {_advice()}")
    return found


def install_broker() -> BrokerBinary:
    """Find a broker or get one. Raises BrokerError with one sentence on what to install by hand."""
    found = find_broker()
    if found is not None:
        return found
    failures = []
    if shutil.which("apt-get") and os.geteuid() == 0:
        try:
            _install_package()
        except BrokerError as error:
            failures.append(str(error))
    if (found := find_broker()) is not None:
        return found
    if shutil.which("apt-get") and shutil.which("dpkg"):
        try:
            _unpack_package(unpacked_folder())
        except BrokerError as error:
            failures.append(str(error))
    if (found := find_broker()) is not None:
        return found
    raise BrokerError("; ".join([f"no mosquitto broker on this machine: {_advice()}", *failures]))


def _advice() -> str:
    for tool, advice in _INSTALL_HINTS:
        if shutil.which(tool):
            return advice
    return "install mosquitto 1.6 or newer from https://mosquitto.org/download"


def _apt(*arguments: str, folder: Path | None = None) -> str:
    """Run an apt or dpkg command and return what it printed. Raises BrokerError with its last error line."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_APT_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"{arguments[0]} did not run: {error}") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise BrokerError(f"`{' '.join(arguments[:2])}` failed: {lines[-1]}")
    return done.stdout


def _install_package() -> None:
    command = ("apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", "mosquitto")
    with _no_service_starts():
        try:
            _apt(*command)
        except BrokerError:
            # A fresh container has no package lists, an old one has lists whose files are gone.
            _apt("apt-get", "update")
            _apt(*command)


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep Debian from starting a system-wide broker that nobody asked for (policy-rc.d, exit code 101)."""
    if _POLICY.exists() or _POLICY.is_symlink():
        yield  # Somebody has a policy of their own: leave it.
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _unpack_package(target: Path) -> None:
    """Download the package and the libraries that this machine lacks, and unpack them into `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="mosquitto-") as name:
        work = Path(name)
        archives = work / "archives"
        archives.mkdir()
        try:
            _download(archives, ())
        except BrokerError:
            # No root is needed to fetch package lists into a folder of one's own either.
            private = _private_lists(work / "apt")
            _apt("apt-get", *private, "update")
            _download(archives, private)
        unpacked = work / "root"
        for archive in sorted(archives.glob("*.deb")):
            _apt("dpkg", "-x", str(archive), str(unpacked))
        binary = _unpacked_binary(unpacked)
        if binary.version() is None:
            raise BrokerError(f"the unpacked broker does not start: {_missing_libraries(binary)}")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)


def _private_lists(folder: Path) -> tuple[str, ...]:
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    return ("-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User=")


def _download(folder: Path, options: Sequence[str]) -> None:
    wanted = ["mosquitto"]
    for package in wanted:  # Grows while it is walked: a library may need another.
        listing = _apt("apt-cache", *options, "depends", "--important", package)
        wanted += [name for name in libraries_in(listing) if name not in wanted and not _is_installed(name)]
    _apt("apt-get", *options, "download", *wanted, folder=folder)


def libraries_in(listing: str) -> list[str]:
    """Names of the library packages in the output of `apt-cache depends`.

    Taken from the system's own lists and not guessed from file names, because those differ between
    releases (`libssl3`, `libssl3t64`).
    """
    return re.findall(r"^ *\|?(?:Pre)?Depends: (lib[a-z0-9.+-]+)$", listing, flags=re.MULTILINE)


def _is_installed(package: str) -> bool:
    try:
        return "installed" in _apt("dpkg-query", "-W", "-f", "${db:Status-Status}", package).split()
    except BrokerError:
        return False


def _unpacked_binary(folder: Path) -> BrokerBinary:
    libraries = [
        folder / "usr" / "lib",
        *sorted(folder.glob("usr/lib/*-linux-*")),
        *sorted(folder.glob("lib/*-linux-*")),
    ]
    paths = [str(path) for path in libraries]
    if os.environ.get("LD_LIBRARY_PATH"):
        paths.append(os.environ["LD_LIBRARY_PATH"])
    return BrokerBinary(folder / "usr" / "sbin" / "mosquitto", {"LD_LIBRARY_PATH": ":".join(paths)})


def _missing_libraries(binary: BrokerBinary) -> str:
    try:
        shown = subprocess.run(
            ["ldd", binary.path],
            env={**os.environ, **binary.environment},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"ldd did not run ({error})"
    missing = [line.split()[0] for line in shown.stdout.splitlines() if line.endswith("not found")]
    return f"missing {', '.join(missing)}" if missing else "no library is missing"


def main() -> int:
    """Print which broker will be used; 0 when there is one, else 1."""
    try:
        broker = install_broker()
    except BrokerError as error:
        print(f"mosquitto: {error}", file=sys.stderr)
        return 1
    print(f"broker: mosquitto {broker.version()} at {broker.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
