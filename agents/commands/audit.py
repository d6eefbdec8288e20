"""`gridbazaar audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from agents.commands.common import echo_json, echo_table, json_option, run_argument
from agents.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from agents.audit import AuditResult


@click.command(name="audit")
@run_argument
@json_option
def command(run: Path, as_json: bool) -> int:
    """Verify all chains of a run from genesis.

    Each node's chain, and the nodes against each other: hash links, Merkle roots, 2f+1 commit signatures of
    each block, transaction signatures, state roots and receipts by executing every block again, money after
    each block, the node's own votes, and every page of the file. What is trusted is RUN/deployment.json.
    Nothing in the folder is changed. Exit code 1 when anything is wrong; a note is no fault.

    \b
    Example:
      gridbazaar audit runs/neighbourhood
    """
    from agents.audit import audit_run

    folder = RunFolder.open(run)
    with _BlockCounter(enabled=sys.stderr.isatty() and not as_json) as counter:
        result = audit_run(folder, counter.show)
    if as_json:
        echo_json(result.to_json())
    else:
        _print(result)
    return 0 if result.ok else 1


class _BlockCounter:
    """A bar a node on standard error; nothing when not enabled."""

    def __init__(self, *, enabled: bool) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if enabled:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, node: str, done: int, total: int) -> None:
        """Note how far the verification of a node's chain has come."""
        if self._progress is None:
            return
        if node not in self._tasks:
            self._tasks[node] = self._progress.add_task(node, total=total)
        self._progress.update(self._tasks[node], completed=done)


def _print(result: AuditResult) -> None:
    rows = [
        (
            name,
            report.height,
            report.blocks,
            report.transactions,
            report.state_root.hex()[:16],
            "verified" if report.ok else "WRONG",
        )
        for name, report in result.nodes.items()
    ]
    numbers = ("height", "blocks", "transactions")
    echo_table(("node", *numbers, "state root", "result"), rows, right=numbers)
    for finding in result.findings:
        click.echo(f"{'WRONG' if finding.serious else 'note'}: {finding}")
    wrong = sum(finding.serious for finding in result.findings)
    if wrong:
        click.echo(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong.")
    else:
        click.echo("Every chain verifies from genesis, money is conserved, and the nodes agree.")
