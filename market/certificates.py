"""Green certificates: one for each full 1,000 kWh of metered renewable generation (green, section 2).

Never twice for the same energy: what counts is how far an accredited account's exports exceed its imports since
it was accredited, and only where that sum reaches a new thousand. Taking energy from the grid, or storing it, and
sending it back does not raise it.
"""

from __future__ import annotations

from typing import Final

from market.context import Context
from market.events import Status
from market.market_events import CertificateAct, CertificateChange
from market.market_records import Certificate
from market.orders import Role
from market.receipts import ReasonCode
from market.supervision_transactions import Accredit, RetireCertificates, TransferCertificates

CERTIFICATE_WH: Final = 1_000_000


def accredit(context: Context, accredit: Accredit) -> ReasonCode:
    """The regulator says whose exports are renewable generation. What came before does not count."""
    if context.sender != context.config.regulator:
        return ReasonCode.NOT_REGULATOR
    account = context.state.accounts.get(accredit.account)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    if account.status is not Status.APPROVED:
        return ReasonCode.NOT_APPROVED
    if account.role not in (Role.PRODUCER, Role.PROSUMER):
        return ReasonCode.NOT_A_GENERATOR
    context.state.accounts.edit(accredit.account).renewable = accredit.renewable
    return ReasonCode.OK


def count_generation(context: Context, key: bytes, net_wh: int, period: int) -> None:
    """Add what an accredited account's meters have newly shown, and issue what that completes."""
    state = context.state
    if not state.accounts[key].renewable:
        return
    account = state.accounts.edit(key)
    account.generated_wh += net_wh
    new = account.generated_wh // CERTIFICATE_WH - account.certificates
    if new <= 0:
        return
    first = state.head.next_certificate
    for serial in range(first, first + new):
        state.certificates.add(serial, Certificate(owner=key, origin=key, period=period))
    account.certificates += new
    state.head.next_certificate += new
    context.events.append(
        CertificateChange(act=CertificateAct.ISSUED, account=key, first_serial=first, last_serial=first + new - 1)
    )


def transfer(context: Context, transfer: TransferCertificates) -> ReasonCode:
    """Give certificates to another account."""
    code = _owner_refusal(context, transfer.serials)
    if code:
        return code
    receiver = context.state.accounts.get(transfer.receiver)
    if receiver is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    if receiver.status is not Status.APPROVED:
        return ReasonCode.NOT_APPROVED
    for serial in transfer.serials:
        context.state.certificates.edit(serial).owner = transfer.receiver
    _announce(context, CertificateAct.TRANSFERRED, transfer.receiver, transfer.serials)
    return ReasonCode.OK


def retire(context: Context, retire: RetireCertificates) -> ReasonCode:
    """Use certificates up. They leave the state; their number stays."""
    code = _owner_refusal(context, retire.serials)
    if code:
        return code
    for serial in retire.serials:
        context.state.certificates.remove(serial)
    context.state.head.retired += len(retire.serials)
    _announce(context, CertificateAct.RETIRED, context.sender, retire.serials)
    return ReasonCode.OK


def _owner_refusal(context: Context, serials: tuple[int, ...]) -> ReasonCode | None:
    account = context.state.accounts.get(context.sender)
    if account is None:
        return ReasonCode.UNKNOWN_ACCOUNT
    if account.status not in (Status.APPROVED, Status.DELISTED):
        return ReasonCode.NOT_APPROVED
    if not serials or len(set(serials)) != len(serials):
        return ReasonCode.UNKNOWN_CERTIFICATE
    found = [context.state.certificates.get(serial) for serial in serials]
    if any(certificate is None for certificate in found):
        return ReasonCode.UNKNOWN_CERTIFICATE
    if any(certificate is not None and certificate.owner != context.sender for certificate in found):
        return ReasonCode.NOT_CERTIFICATE_OWNER
    return None


def _announce(context: Context, act: CertificateAct, account: bytes, serials: tuple[int, ...]) -> None:
    """One event a run of neighbouring serial numbers."""
    ordered = sorted(serials)
    first = ordered[0]
    for serial, following in zip(ordered, [*ordered[1:], 0], strict=True):
        if following != serial + 1:
            context.events.append(
                CertificateChange(act=act, account=account, first_serial=first, last_serial=serial)
            )
            first = following
