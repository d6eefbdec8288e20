"""Matplotlib figures as inline SVG that follows the page's light or dark colours.

Figures are drawn with stand-in colours, which become CSS variables in the SVG text. Text stays text, in
the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#010101"
SOFT: Final = "#020202"
GRID: Final = "#030303"
BUY: Final = "#040404"
SELL: Final = "#050505"
PRICE: Final = "#060606"
VOLUME: Final = "#070707"
GOOD: Final = "#080808"
BAD: Final = "#090909"
EXTRA: Final = "#0a0a0a"

_VARIABLES: Final = {
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--grid",
    BUY: "--buy",
    SELL: "--sell",
    PRICE: "--price",
    VOLUME: "--volume",
    GOOD: "--good",
    BAD: "--bad",
    EXTRA: "--extra",
}
"""Stand-in colours, and the CSS variables that the page defines for both colour schemes."""

_WIDTH_IN: Final = 9.2


@contextmanager
def figure(
    height_in: float = 3.4, *, columns: int = 1, row_heights: tuple[float, ...] = (1,)
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of the page's width in the report's style: axes row by row; a column shares its x axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",
        "axes.edgecolor": SOFT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "text.color": INK,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.labelcolor": INK,
        "lines.linewidth": 1.8,
    }
    with mpl.rc_context(style):
        # Not pyplot: it keeps every figure alive and looks for a display.
        drawing = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        drawing.patch.set_alpha(0)
        axes = list(
            drawing.subplots(
                len(row_heights), columns, sharex="col", squeeze=False, height_ratios=row_heights
            ).flat
        )
        for one in axes:
            one.patch.set_alpha(0)
        yield drawing, axes


def to_svg(drawing: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element. `name` makes its ids unique on the page; `description` is its text."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Named fonts would be those of the machine that drew it.
    text = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font: \1px var(--font)", text)
    # The page scales the picture; a fixed size in points would overflow a telephone.
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", text, count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)
