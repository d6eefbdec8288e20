"""The command `gridbazaar`: finds the subcommand and turns errors into exit codes.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration. Each subcommand is a module of
`agents/commands/` that imports next to nothing until it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from agents.errors import ApplicationError, ConfigurationError

DONE: Final = 0
WORK_FAILED: Final = 1
WRONG_USAGE: Final = 2

COMMANDS: Final = {
    "run": "agents.commands.run",
    "node": "agents.commands.node",
    "agents": "agents.commands.agent_host",
    "devices": "agents.commands.device_host",
    "web": "agents.commands.web",
    "watch": "agents.commands.watch",
    "clear": "agents.commands.clear",
    "audit": "agents.commands.audit",
    "ledger": "agents.commands.ledger",
    "report": "agents.commands.report",
    "reproduce": "agents.commands.reproduce",
    "gateway": "agents.commands.gateway",
    "meters": "agents.commands.meters",
    "simulate": "agents.commands.simulate",
    "chaos": "agents.commands.chaos",
    "bench": "agents.commands.bench",
}
"""Subcommands and the modules that hold them, each as `command`. The order is that of the help page."""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a reader's needs rather than the alphabet's."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, or None when there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gridbazaar", message="%(prog)s %(version)s")
def gridbazaar() -> None:
    """A local energy market that runs for real: agents, a broker, a PBFT ledger, meters.

    \b
    Example:
      gridbazaar run scenarios/neighbourhood.toml

    Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point. Errors go to standard error; a traceback means a bug of ours."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code instead of ending the process."""
    try:
        # Not `gridbazaar.main`: click ends the process with code 1 when a reader closes the pipe.
        words = list(sys.argv[1:] if arguments is None else arguments)
        with gridbazaar.make_context("gridbazaar", words) as context:
            code = gridbazaar.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return WRONG_USAGE
    except click.ClickException as error:
        error.show()
        return WRONG_USAGE
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return WORK_FAILED
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        return WRONG_USAGE
    except ApplicationError as error:
        click.echo(f"Error: {error}", err=True)
        return WORK_FAILED
    except BrokenPipeError:
        return _reader_went_away()
    return code if isinstance(code, int) else DONE


def _reader_went_away() -> int:
    # `gridbazaar ledger blocks RUN | head` is no failure. What is still buffered must not be flushed at
    # exit into the closed pipe, or Python complains there.
    sys.stdout = None
    return DONE


if __name__ == "__main__":
    main()
