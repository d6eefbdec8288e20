"""What is to be known before the rest: nothing yet, disconnected, a node down, ended."""

from __future__ import annotations

import solara

from agents.web.facts import FeedState
from agents.web.view import View
from agents.web.widgets import Notice


@solara.component
def Notices(view: View) -> None:
    """At most two: where the facts come from, and nodes that are down."""
    snapshot, words = view.snapshot, view.words
    with solara.Div():
        match snapshot.state:
            case FeedState.WAITING:
                text = words("loading_text") if snapshot.settled else words("waiting_text")
                Notice(heading=words("waiting_heading"), text=text, tone="gb-wait")
            case FeedState.DISCONNECTED:
                Notice(heading=words("disconnected_heading"), text=words("disconnected_text"), tone="gb-bad")
            case FeedState.SILENT:
                seconds = (snapshot.now_ms - snapshot.heard_ms) // 1_000
                heading = words("silent_heading", seconds=seconds)
                Notice(heading=heading, text=words("silent_text"), tone="gb-wait")
            case FeedState.ENDED:
                text = words("ended_text", periods=snapshot.settled)
                Notice(heading=words("ended_heading"), text=text, tone="gb-plain")
        down = [node.name for node in snapshot.nodes if node.state == "offline"]
        if down and snapshot.state in (FeedState.LIVE, FeedState.SILENT):
            nodes, faults = len(snapshot.nodes), view.deployment.faults
            text = words("node_down_text", alive=nodes - len(down), nodes=nodes, quorum=nodes - faults)
            Notice(heading=words("node_down_heading", names=", ".join(down)), text=text, tone="gb-bad")
