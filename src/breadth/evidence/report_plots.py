"""The report's plots: matplotlib figures as SVG that takes its colours and its font from the page.

Every function returns one `<svg>` element as a string. Colours are drawn as placeholders and handed over as CSS
variables, so that one drawing serves a light and a dark page; text stays text, in the font of the page.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from breadth.evidence.report_format import short, signed

WIDTH = 390  # SVG units: two such figures side by side on a desk, one on a phone
INK, MUTED, RULE, ACCENT, BAND = "#010001", "#010002", "#010003", "#010004", "#010005"
PEERS = ("#010011", "#010012", "#010013", "#010014", "#010015", "#010016")
CSS = dict(
    zip(
        (INK, MUTED, RULE, ACCENT, BAND, *PEERS),
        ("ink", "muted", "rule", "accent", "band", *(f"peer-{i}" for i in range(1, len(PEERS) + 1))),
        strict=True,
    )
)
FAR = 30.0  # factor to the middle value beyond which a number would flatten the others
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5)), (0, (8, 2, 2, 2, 2, 2)))

STYLE = {
    "svg.fonttype": "none",  # text as text: readable to a screen reader, set in the page's font
    "svg.hashsalt": "breadth",  # the same rows give the same bytes
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same layout on every machine
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference to the baseline with the interval that the verdict was read from."""

    name: str
    ours: bool
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One column of a dot plot: a number for each contender, on a log axis. NaN: not measured."""

    title: str
    values: tuple[float, ...]
    write: Callable[[float], str]
    mark: Callable[[float], str]  # a number under the axis
    absent: tuple[str, ...]  # what to say of a contender without a value
    reference: float | None = None  # where a line is drawn and the stems start


@dataclass(frozen=True, slots=True)
class Curve:
    """A number after each iteration."""

    name: str
    ours: bool
    values: tuple[float, ...]


def intervals(rows: Sequence[Interval], *, margin: float, label: str, ident: str, alt: str) -> str:
    """Differences to the baseline: a dot and its interval, over the band of differences that do not matter.

    Args:
        rows: what to draw, from top to bottom; finite numbers.
        margin: half width of the equivalence band, >= 0.
        label: of the horizontal axis.
        ident: unique in the page.
        alt: what a reader who cannot see the plot should know.

    Deviations: an interval that lies more than 4 medians away is not drawn to scale, since it would flatten all others;
        an arrow at the edge gives its value instead.
    """
    reach = [max(abs(row.low), abs(row.high)) for row in rows]
    limit = max(4 * sorted(reach)[(len(reach) - 1) // 2], 1.6 * margin)
    shown = [r for r in reach if r <= limit]
    limit = 1.12 * max([*shown, 1.4 * margin]) or 1.0
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows([row.name for row in rows], [row.ours for row in rows], columns=1)
        ax = axes[0]
        ax.axvspan(-margin, margin, color=BAND, linewidth=0)
        ax.axvline(0, color=MUTED, linewidth=1)
        for y, row in enumerate(rows):
            colour = ACCENT if row.ours else MUTED
            if max(abs(row.low), abs(row.high)) <= limit:
                ax.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
                ax.plot([row.difference], [y], marker="o", markersize=7, color=colour, linestyle="none")
                continue
            side = math.copysign(1.0, row.difference)
            ax.plot([side * 0.965 * limit], [y], marker=">" if side > 0 else "<", markersize=7, color=colour)
            ax.text(
                side * 0.91 * limit,
                y,
                f"{signed(row.difference)}, off scale",
                ha="right" if side > 0 else "left",
                va="center_baseline",
                color=colour,
                fontsize=10.5,
            )
        ax.set_xlim(-limit, limit)
        ax.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: ("+" if x > 0 else "") + short(x)))
        ax.set_xlabel(label)
        return _svg(figure, ident, alt)


def dots(names: Sequence[str], ours: Sequence[bool], panels: Sequence[Panel], *, ident: str, alt: str) -> str:
    """One row a contender, one log-scaled column a quantity, each dot with its value written beside it.

    Args:
        names: contenders from top to bottom.
        ours: which of them to mark.
        panels: the columns; each has a positive value at least.
        ident: unique in the page.
        alt: what a reader who cannot see the plot should know.

    Deviations: a value more than FAR times from the middle one is an arrow at the edge with its number.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(names, ours, columns=len(panels))
        for ax, panel in zip(axes, panels, strict=True):
            _dot_column(ax, panel, ours)
        return _svg(figure, ident, alt)


def _dot_column(ax: Axes, panel: Panel, ours: Sequence[bool]) -> None:
    """Drawn in decades on a linear axis: matplotlib's log axis doubles the time of the page."""
    known = sorted(math.log10(v) for v in panel.values if v > 0)
    middle = known[len(known) // 2]
    shown = [v for v in known if abs(v - middle) < math.log10(FAR)]
    if panel.reference:
        shown.append(math.log10(panel.reference))
    low, high = min(shown), max(shown)
    span = max(high - low, 0.25)
    left = low - 0.22 * span
    ax.set_xlim(left, high + 0.85 * span)  # room for the numbers
    start = math.log10(panel.reference) if panel.reference else left
    if panel.reference:
        ax.axvline(start, color=MUTED, linewidth=1)
    for y, (value, mine) in enumerate(zip(panel.values, ours, strict=True)):
        if value > 0:
            colour, tint, text = (ACCENT, ACCENT, panel.write(value)) if mine else (MUTED, INK, panel.write(value))
            decade = math.log10(value)
            at = min(max(decade, low - 0.1 * span), high)  # what lies far away is an arrow at the edge
            mark = "<" if decade < low else ">" if decade > high else "o"
            ax.plot([start, at], [y, y], color=colour if panel.reference else RULE, linewidth=1.6)
            ax.plot([at], [y], marker=mark, markersize=7, color=colour)
        else:
            at, tint, text = start, MUTED, panel.write(0.0) if value == 0 else panel.absent[y]
        # beside the dot, or beside the reference line where the dot lies left of it
        ax.annotate(text, (max(at, start), y), xytext=(8, 0), textcoords="offset points", va="center_baseline",
                    color=tint, fontsize=10)  # fmt: skip
    ax.set_title(panel.title, loc="left", fontsize=11, color=MUTED, pad=8)
    ticks = _log_ticks(10**left, 10 ** (high + 0.4 * span))
    ax.set_xticks([math.log10(tick) for tick in ticks], [panel.mark(tick) for tick in ticks])


def curves(rows: Sequence[Curve], *, label: str, direction: Literal["higher", "lower"], ident: str, alt: str) -> str:
    """Held-out measure after each iteration, a line a contender.

    Args:
        rows: every contender of the study in its order, which decides its colour; one without values is not drawn.
        label: name of the measure.
        direction: which way is better.
        ident: unique in the page.
        alt: what a reader who cannot see the plot should know.

    Deviations: the vertical axis starts where the lines stand after one eighth of the iterations, so that the
        part where they differ fills the plot.
    """
    longest = max(len(row.values) for row in rows)
    late = [v for row in rows for v in row.values[min(len(row.values) - 1, longest // 8) :]]
    settled = [v for v in late if math.isfinite(v)] or [v for row in rows for v in row.values if math.isfinite(v)]
    low, high = min(settled), max(settled)
    pad = 0.06 * (high - low) or 0.01 * max(abs(high), 1e-12)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 72, 280 / 72), layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.subplots()
        ax.grid(axis="y")
        drawn = []
        for row, style in zip(rows, _line_styles(rows), strict=True):
            if row.values:
                (line,) = ax.plot(range(1, len(row.values) + 1), row.values, label=_wrap(row.name), **style)
                drawn.append(line)
        ax.set_xlim(1, max(longest, 2))
        ax.set_ylim(low - pad, high + pad)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y, 4)))
        ax.yaxis.set_tick_params(labelsize=10, labelcolor=MUTED)
        ax.set_xlabel("iteration")
        ax.set_title(f"{label} {'↑ higher' if direction == 'higher' else '↓ lower'} is better", loc="left", fontsize=11,
                     color=MUTED, pad=8)  # fmt: skip
        figure.legend(handles=drawn, loc="outside lower left", ncols=2, handlelength=2.6)
        return _svg(figure, ident, alt)


def ranks(names: Sequence[str], ours: Sequence[bool], values: Sequence[float], *, ident: str, alt: str) -> str:
    """Average rank of each contender over the data sets; 1 is best."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(names, ours, columns=1)
        ax = axes[0]
        for y, (value, mine) in enumerate(zip(values, ours, strict=True)):
            ax.plot([1, value], [y, y], color=RULE, linewidth=1.6)
            ax.plot([value], [y], marker="o", markersize=7, color=ACCENT if mine else MUTED)
            ax.annotate(f"{value:.2f}", (value, y), xytext=(8, 0), textcoords="offset points", va="center_baseline",
                        color=ACCENT if mine else INK, fontsize=10.5)  # fmt: skip
        ax.set_xlim(0.85, len(names) + 0.5)
        ax.set_xticks(range(1, len(names) + 1))
        ax.set_xlabel("average rank, 1 is best")
        return _svg(figure, ident, alt)


def _line_styles(rows: Sequence[Curve]) -> list[dict]:
    """Ours in the accent, above the others; each peer in a colour and a dash of its own."""
    styles = []
    for i, row in enumerate(rows):
        nth = sum(other.ours == row.ours for other in rows[:i])
        styles.append(
            {"color": ACCENT, "linewidth": 2.4, "linestyle": DASHES[nth % len(DASHES)], "zorder": 3}
            if row.ours
            else {
                "color": PEERS[nth % len(PEERS)],
                "linewidth": 1.5,
                "linestyle": DASHES[(nth + nth // len(PEERS) + 1) % len(DASHES)],
                "zorder": 2,
            }
        )
    return styles


def _log_ticks(low: float, high: float) -> list[float]:
    """At most three round numbers: decades where two or more lie between, else halves and fifths of them."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [step * 10.0**d for d in decades for step in steps if low <= step * 10.0**d <= high]
        if len(ticks) >= 2:
            break
    return ticks[:: math.ceil(len(ticks) / 3)] if ticks else []


def _wrap(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 22, break_on_hyphens=False)) or "(no name)"


def _rows(names: Sequence[str], ours: Sequence[bool], *, columns: int) -> tuple[Figure, list[Axes]]:
    labels = [_wrap(name) for name in names]
    lines = sum(max(1.0, 0.62 * (1 + label.count("\n"))) for label in labels)
    figure = Figure(figsize=(WIDTH / 72, (62 + 27 * lines) / 72), layout="constrained")
    FigureCanvasSVG(figure)
    axes = list(figure.subplots(1, columns, sharey=True, squeeze=False)[0])
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)  # first row on top
    for tick, mine in zip(axes[0].get_yticklabels(), ours, strict=True):
        if mine:
            tick.set_color(ACCENT)
            tick.set_fontweight("bold")
    return figure, axes


def _svg(figure: Figure, ident: str, alt: str) -> str:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # names may hold characters that DejaVu Sans lacks; it only measures them, the reader's browser draws them
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}style") or child.tag.endswith("}metadata"):
                parent.remove(child)  # a style inside the drawing would hold for the whole page
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # in HTML, svg needs no namespace
        element.attrib = {
            key.rpartition("}")[2]: _own(key.rpartition("}")[2], value, ident) for key, value in element.attrib.items()
        }
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": alt, "class": "plot"}
    return ET.tostring(root, encoding="unicode")


def _own(key: str, value: str, ident: str) -> str:
    if key == "id":
        return f"{ident}-{value}"
    if key == "href":
        return f"#{ident}-{value.removeprefix('#')}"
    value = value.replace("url(#", f"url(#{ident}-")
    if key == "style":
        value = re.sub(r"\s*font-family:[^;]*;?", "", value)
        value = re.sub(r"#[0-9a-f]{6}", lambda m: f"var(--{CSS[m[0]]})" if m[0] in CSS else m[0], value)
    return value
