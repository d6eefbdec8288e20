"""The report's page: HTML and style around what `report.py` puts in. One file, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_STYLE: Final = """
:root { color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  --page: #f6f7f9; --card: #ffffff; --line: #dfe3e8; --ink: #1b2430; --soft: #5f6b7a; --grid: #e6e9ee;
  --buy: #1f6fc4; --sell: #e08a00; --price: #0a6e78; --volume: #6fa8a0; --good: #2f8f4e; --bad: #c2412d;
  --extra: #8a5bb5; --accent: #0a6e78; }
@media (prefers-color-scheme: dark) { :root {
  --page: #12161c; --card: #1a2029; --line: #2c3542; --ink: #e4e9f0; --soft: #98a5b5; --grid: #2a323e;
  --buy: #62a8f0; --sell: #f2ab3d; --price: #4cc3cf; --volume: #5b978f; --good: #5dbb7c; --bad: #ee7a66;
  --extra: #b893dd; --accent: #4cc3cf; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 var(--font); }
main { max-width: 1040px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 1.12rem; margin: 0 0 2px; }
p { margin: 4px 0 12px; max-width: 72ch; }
.soft, figcaption { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 10px; margin: 22px 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 14px; }
.tile b { display: block; font-size: 1.25rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tile small { font-size: 0.86rem; font-weight: 500; white-space: nowrap; }
.tile span { color: var(--soft); font-size: 0.84rem; }
section { padding: 18px 20px; margin: 14px 0; }
section.missing { border-left: 4px solid var(--bad); }
figure { margin: 8px 0 0; overflow-x: auto; }
figure svg { display: block; width: 100%; height: auto; min-width: 560px; }
figcaption { font-size: 0.88rem; margin-top: 6px; max-width: 100ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td.code { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; font-size: 0.8rem;
  overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
tr.group td { padding-top: 14px; font-weight: 650; border-bottom-color: var(--soft); }
footer { color: var(--soft); font-size: 0.85rem; margin-top: 24px; }
@media print { body { background: none; } section, .tile { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class Raw:
    """HTML that is to stand in the page as it is. Everything else is escaped."""

    html: str


Content = str | Raw


def _html(content: Content) -> str:
    return content.html if isinstance(content, Raw) else escape(content)


def page(title: str, subtitle: str, parts: Iterable[Raw], footer: str) -> str:
    """The whole document."""
    body = "\n".join(part.html for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p></header>\n'
        f"{body}\n<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def tiles(items: Iterable[tuple[str, str, str]]) -> Raw:
    """Headline numbers: value, unit and what it is."""
    cells = "".join(
        f'<div class="tile"><b>{escape(value)} <small>{escape(unit)}</small></b><span>{escape(words)}</span></div>'
        for value, unit, words in items
    )
    return Raw(f'<div class="tiles">{cells}</div>')


def section(heading: str, *contents: Content, kind: str = "") -> Raw:
    """A card with a heading; plain strings become paragraphs."""
    inner = "".join(
        content.html if isinstance(content, Raw) else f"<p>{escape(content)}</p>" for content in contents
    )
    name = f' class="{kind}"' if kind else ""
    return Raw(f"<section{name}><h2>{escape(heading)}</h2>{inner}</section>")


def picture(svg: str, caption: str) -> Raw:
    """A figure with a sentence on how to read it."""
    return Raw(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")


def bullets(items: Iterable[str]) -> Raw:
    """A list of sentences."""
    return Raw("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")


def table(headings: Sequence[str], rows: Iterable[Sequence[Content]], kinds: Sequence[str]) -> Raw:
    """A table; `kinds` are the columns' classes: empty, `number` or `code`. A row of one cell names a group."""

    def cells(row: Sequence[Content], tag: str) -> str:
        return "".join(
            f'<{tag} class="{kind}">{_html(cell)}</{tag}>' if kind else f"<{tag}>{_html(cell)}</{tag}>"
            for cell, kind in zip(row, kinds, strict=True)
        )

    lines = []
    for row in rows:
        if len(row) == 1:
            lines.append(f'<tr class="group"><td colspan="{len(kinds)}">{_html(row[0])}</td></tr>')
        else:
            lines.append(f"<tr>{cells(row, 'td')}</tr>")
    head = f"<thead><tr>{cells(headings, 'th')}</tr></thead>"
    return Raw(f'<div class="scroll"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>')
