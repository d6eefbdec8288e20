"""When to lose patience with the primary (Castro and Liskov 1999, sections 4.4 and 4.5.2).

A backup that knows of a transaction waits only so long for its execution. Two things must not count
against a correct primary: a backlog that it works through in fair turns, and its predecessor's time. And
one thing must: that others' transactions are executed again and again while one stays behind.
"""

from __future__ import annotations

from ledger.core import Core
from ledger.effects import SetTimer, Timer
from ledger.messages import Bodies
from ledger.pool import Waiting
from ledger.view_change import ViewChanger


class Liveness:
    """Watches what waits, relays it, and asks for a view change when it waits too long."""

    def __init__(self, core: Core, views: ViewChanger) -> None:
        self.core = core
        self.views = views
        self._armed = False
        self._due_ms = 0

    def arm(self) -> None:
        """Run the timer while anything waits. An idle replica has none, and finds a dead primary later."""
        core = self.core
        if self._armed or core.halted or not (len(core.pool) or self._in_flight()):
            return
        self._armed = True
        delay_ms = max(1, core.timeout(core.config.request_timeout_ms) // 4)
        self._due_ms = core.now_ms + delay_ms
        core.emit(SetTimer(timer=Timer.REQUEST, delay_ms=delay_ms))

    def on_timer(self) -> None:
        """Relay what has waited for half of the timeout; leave the view when something waited all of it."""
        core = self.core
        self._armed = False
        if core.now_ms - self._due_ms > core.timeout(core.config.request_timeout_ms):
            # It was this replica that stood still, not the primary: begin to wait now.
            core.view_entered_ms = core.now_ms
            core.pool.restart_waits(core.now_ms, core.executed_count)
        if core.active and not core.halted:
            timeout_ms = core.timeout(core.config.request_timeout_ms)
            if self._overdue(timeout_ms):
                self.views.start(core.view + 1)
            else:
                self._relay(timeout_ms // 2)
        self.arm()

    def _in_flight(self) -> bool:
        return any(entry.view == self.core.view for entry in self.core.log)

    def _overdue(self, timeout_ms: int) -> bool:
        core = self.core
        for entry in core.log:
            since_ms = max(entry.since_ms, core.last_executed_ms, core.view_entered_ms)
            if entry.view == core.view and core.now_ms - since_ms >= timeout_ms:
                return True
        return any(self._waits_unfairly(item, timeout_ms) for item in core.pool)

    def _waits_unfairly(self, item: Waiting, timeout_ms: int) -> bool:
        core = self.core
        if core.now_ms - item.seen_ms < timeout_ms:
            return False
        if core.now_ms - max(core.last_executed_ms, core.view_entered_ms) >= timeout_ms:
            return True
        # In fair turns at most one transaction of each sender goes first for every one ahead of this in its
        # own queue, and what was under way when it came. Beyond that it is being passed over.
        fair = (item.place + 1) * core.pool.sender_count + item.ahead
        return core.executed_count - item.executed_before > fair

    def _relay(self, waited_ms: int) -> None:
        """Show the others what the primary seems not to know: a client may have told us alone (section 4.1)."""
        core = self.core
        transactions: list[bytes] = []
        size = 0
        for item in core.pool:
            if item.relayed or not self._waits_unfairly(item, waited_ms):
                continue
            size += len(item.admitted.transaction)
            if size > core.config.batch_bytes or len(transactions) >= core.config.batch_count:
                break
            item.relayed = True
            transactions.append(item.admitted.transaction)
        if transactions:
            core.counters["transactions relayed"] += len(transactions)
            core.broadcast(Bodies(transactions=tuple(transactions)))
