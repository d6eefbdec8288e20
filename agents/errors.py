"""Every error of the application layer. The command line turns them into exit codes.

* ApplicationError
  - ConfigurationError    wrong usage or configuration, exit code 2: says file, key, value, what is right
    + RunFolderError      a run folder, or one of its files, is not what it should be
    + BookError           an order book file that cannot be read
  - WorkError             everything was asked for rightly and the work failed, exit code 1
"""

from __future__ import annotations


class ApplicationError(Exception):
    """Base of all errors of the application layer."""


class ConfigurationError(ApplicationError):
    """The user asked for something that cannot be: nothing was started or changed."""


class RunFolderError(ConfigurationError):
    """A run folder, or one of its files, is missing or not what it should be."""


class BookError(ConfigurationError):
    """An order book file that cannot be read."""


class WorkError(ApplicationError):
    """The work was started and did not succeed."""
