"""Every error of the data layer.

* DeviceError
  - SiteError         the description of a site is wrong: names the key, the value and what would be right
  - ProfileError      a profile, day or period that the data do not hold
  - StateError        the devices' saved state cannot be read: never guessed, since registers must not go back
  - MeterConfigError  a meter's family or settings cannot be used: names the key, the value and what would be right
"""

from __future__ import annotations


class DeviceError(Exception):
    """Base of all errors of this layer."""


class SiteError(DeviceError):
    """A site's description that cannot be built: the message names key, value and what would be right."""


class ProfileError(DeviceError):
    """A profile, calendar day or period that the data do not hold."""


class StateError(DeviceError):
    """The saved state of devices is unreadable or belongs to another chain or host."""


class MeterConfigError(DeviceError):
    """A meter's family, path, unit or topic that cannot be used: the message says what would be right."""
