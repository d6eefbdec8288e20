"""Would the tests notice? Deliberate protocol mistakes, each of which some test or seed must find.

Run it as a script: `python tests/simulation/mutation_check.py [NAME ...]`. Each mistake is made in a copy of
`ledger/`, the unit tests run against the copy, and if those see nothing, seeds of the simulator.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT_TESTS = (
    "test_replica_normal_case.py",
    "test_replica_view_change.py",
    "test_replica_restart.py",
    "test_transaction_pool.py",
    "test_replica_driver.py",
    "test_consensus_evidence.py",
)
SEEDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One textual change to one file; `old` stands there exactly once."""

    name: str
    file: str
    old: str
    new: str


MISTAKES = (
    Mistake(
        name="commit quorum of 2f",
        file="normal_case.py",
        old="(view, block_hash)\n        if len(votes) >= self.core.quorums.quorum:",
        new="(view, block_hash)\n        if len(votes) >= self.core.quorums.quorum - 1:",
    ),
    Mistake(
        name="prepare quorum of 2f",
        file="normal_case.py",
        old="(core.view, entry.digest)\n        if len(votes) >= core.quorums.quorum:",
        new="(core.view, entry.digest)\n        if len(votes) >= core.quorums.quorum - 1:",
    ),
    Mistake(
        name="checkpoint quorum of f + 1",
        file="checkpoints.py",
        old="quorum = self.core.quorums.quorum",
        new="quorum = self.core.quorums.weak",
    ),
    Mistake(
        name="votes for anything counted",
        file="log.py",
        old="if ballot.view == view and ballot.value == value",
        new="if ballot.view == view",
    ),
    Mistake(
        name="votes of any view counted",
        file="log.py",
        old="if ballot.view == view and ballot.value == value",
        new="if ballot.value == value",
    ),
    Mistake(
        name="second pre-prepare accepted",
        file="normal_case.py",
        old="        if entry.view == core.view:\n            held = entry.pre_prepare",
        new="        if False:\n            held = entry.pre_prepare",
    ),
    Mistake(
        name="pre-prepare of a backup accepted",
        file="normal_case.py",
        old="or signed.replica != core.primary:\n            return",
        new="or False:\n            return",
    ),
    Mistake(
        name="high watermark ignored",
        file="core.py",
        old="< sequence <= self.low + self.config.window",
        new="< sequence",
    ),
    Mistake(
        name="proposal time not checked",
        file="normal_case.py",
        old="and abs(proposal.time_ms - core.now_ms) <= core.config.time_bound_ms",
        new="",
    ),
    Mistake(
        name="old view goes on during a view change",
        file="view_change.py",
        old="        core.view = view\n        core.active = False\n",
        new="        core.view = view\n        core.active = True\n",
    ),
    Mistake(
        name="o set not compared",
        file="view_change.py",
        old="if changes is None or message.proposals != proposals_of(message.view, changes, signed.replica):",
        new="if changes is None:",
    ),
    Mistake(
        name="o set prefers the lowest view",
        file="view_change.py",
        old="if held is None or held.view < certificate.view:",
        new="if held is None or held.view > certificate.view:",
    ),
    Mistake(
        name="new view with 2f view changes",
        file="view_change.py",
        old="if len(senders) < core.quorums.quorum or senders",
        new="if len(senders) < core.quorums.quorum - 1 or senders",
    ),
    Mistake(
        name="new view of anyone",
        file="view_change.py",
        old="if signed.replica != core.config.primary(message.view):",
        new="if False:",
    ),
    Mistake(
        name="certificates inside of view changes unchecked",
        file="view_change.py",
        old="if certificate.view >= message.view or not certificate.holds(core.quorums, core.crypto.check):",
        new="if certificate.view >= message.view:",
    ),
    Mistake(
        name="proof of the height unchecked",
        file="view_change.py",
        old="if not self._proof_holds(message.height, message.proof):",
        new="if False:",
    ),
    Mistake(
        name="one vote counted for two in a certificate",
        file="messages.py",
        old="or members != sorted(set(members)):",
        new="or False:",
    ),
    Mistake(
        name="view changes hide what was prepared",
        file="view_change.py",
        old="prepared=tuple(entry.prepared for entry in core.log if entry.prepared is not None),",
        new="prepared=(),",
    ),
    Mistake(
        name="accepted proposal not restored",
        file="recovery.py",
        old="            if present:\n                entry.view,",
        new="            if False:\n                entry.view,",
    ),
    Mistake(
        name="prepared certificate not kept",
        file="normal_case.py",
        old="core.emit(Persist(votes=(record,)))\n        message = Commit(",
        new="message = Commit(",
    ),
    Mistake(
        name="sent before it is kept",
        file="core.py",
        old="        self.emit(Persist(votes=(record,)))\n        self.emit(Broadcast(signed=signed))",
        new="        self.emit(Broadcast(signed=signed))",
    ),
    Mistake(
        name="joined at the greatest view",
        file="view_change.py",
        old="self.start(ahead[0])",
        new="self.start(ahead[-1])",
    ),
    Mistake(
        name="joined on the word of f",
        file="view_change.py",
        old="if len(ahead) >= core.quorums.weak:",
        new="if len(ahead) >= core.quorums.f:",
    ),
    Mistake(
        name="new view timer from the start",
        file="view_change.py",
        old="if gone >= core.quorums.quorum and",
        new="if gone >= 1 and",
    ),
    Mistake(
        name="patience never grows",
        file="view_change.py",
        old="core.doublings += 1",
        new="pass",
    ),
    Mistake(
        name="fetched blocks without certificates",
        file="catch_up.py",
        old="            certificate.verify(core.quorums, core.crypto.check)\n        except CertificateError:\n"
        '            core.counters["blocks refused"] += 1',
        new='            pass\n        except CertificateError:\n            core.counters["blocks refused"] += 1',
    ),
    Mistake(
        name="fetched transactions not compared with the header",
        file="catch_up.py",
        old="if len(taken) != len(checked) or not block.matches([item.id for item in taken]):",
        new="if False:",
    ),
    Mistake(
        name="a lost disk votes at once",
        file="recovery.py",
        old="        core.recovering = True\n",
        new="        core.recovering = False\n",
    ),
    Mistake(
        name="transactions executed twice",
        file="normal_case.py",
        old="if body.valid_until_period >= core.tip.period and not core.rules.knows(body.id)",
        new="if body.valid_until_period >= core.tip.period",
    ),
    Mistake(
        name="batches wait until they are full",
        file="normal_case.py",
        old="if waiting <= 0 or (in_flight and not self._all_prepared() and waiting < core.config.batch_count):",
        new="if waiting < core.config.batch_count:",
    ),
    Mistake(
        name="censorship overlooked while others are served",
        file="liveness.py",
        old="return core.executed_count - item.executed_before > fair",
        new="return False",
    ),
    Mistake(
        name="evidence about different places",
        file="evidence.py",
        old="if (kind, view, sequence) != place_of(messages[1]):",
        new="if False:",
    ),
    Mistake(
        name="evidence with forged signatures",
        file="evidence.py",
        old="if not committee.check_vote(item.replica, item.body, item.signature):",
        new="if False:",
    ),
)


def survives(mistake: Mistake, directory: Path) -> bool:
    """Whether neither the unit tests nor the seeds notice the mistake."""
    shutil.copytree(ROOT / "ledger", directory / "ledger", ignore=shutil.ignore_patterns("__pycache__"))
    target = directory / "ledger" / mistake.file
    text = target.read_text(encoding="utf-8")
    assert text.count(mistake.old) == 1, f"{mistake.name}: its text stands {text.count(mistake.old)} times"
    target.write_text(text.replace(mistake.old, mistake.new), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = [str(ROOT / "tests" / "unit" / name) for name in UNIT_TESTS]
    unit = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    seeds = (
        "import sys; from ledger.simulation.run import simulate;"
        f"sys.exit(bool(simulate(range({SEEDS})).violations))"
    )
    for command in (unit, [sys.executable, "-P", "-c", seeds]):
        done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, check=False)
        if done.returncode != 0:
            return False
    return True


def main(names: list[str]) -> int:
    """Make every mistake (or those named) and say which nobody noticed."""
    chosen = [mistake for mistake in MISTAKES if not names or mistake.name in names]
    unnoticed = []
    for mistake in chosen:
        with tempfile.TemporaryDirectory() as directory:
            alive = survives(mistake, Path(directory))
        print(f"{'UNNOTICED' if alive else 'found':10} {mistake.name}", flush=True)
        if alive:
            unnoticed.append(mistake.name)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} mistakes found")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
