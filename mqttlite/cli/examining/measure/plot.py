"""Percentiles of the times of all runs, as SVG: how many messages took how long at most. Both axes are logarithmic; the
one of percentiles goes as far as there are messages.
"""

import math
from collections.abc import Sequence
from html import escape

from .figures import BEYOND, Figures

WIDTH, HEIGHT = 900, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 250, 50, 60
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
NINES = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
POINTS = 200


def svg(title: str, found: Sequence[Figures]) -> str:
    """The picture. ValueError where no run has a message to show."""
    curves = [(figures, _curve(figures.delivered.sorted())) for figures in found]
    curves = [(figures, curve) for figures, curve in curves if curve]
    if not curves:
        raise ValueError("there is nothing to plot: no message has arrived in the time measured")
    every = [ms for _, curve in curves for _, ms in curve]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    high = max(high, low + 1)
    far = max(x for _, curve in curves for x, _ in curve)

    def at(x: float, ms: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / far
        up = (math.log10(ms) - low) / (high - low)
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="13"><title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="15">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        _, y = at(0, 10.0**power)
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y) + _text(LEFT - 8, y + 4, f"{10.0**power:g} ms", "end"))
    for share in NINES:
        if (x := _across(share)) <= far:
            across, _ = at(x, 10.0**low)
            label = f"{share * 100:g} %"
            parts.append(_rule(across, TOP, across, HEIGHT - BOTTOM) + _text(across, HEIGHT - BOTTOM + 20, label))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 14, "share of messages that took no longer"))
    for number, (figures, curve) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{across:.1f},{up:.1f}" for across, up in (at(x, ms) for x, ms in curve))
        dash = ' stroke-dasharray="6 3"' if figures.window == 1 else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        y = TOP + 10 + 34 * number
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 15}" y1="{y}" x2="{WIDTH - RIGHT + 45}" y2="{y}" stroke="{colour}" '
            f'stroke-width="2"{dash}/>'
            + _text(WIDTH - RIGHT + 52, y + 4, f"QoS {figures.qos}, {figures.name}", "start")
            + _text(WIDTH - RIGHT + 52, y + 19, f"n {figures.arrived:,}, {figures.per_s:,.0f}/s", "start")
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(share: float) -> float:
    return -math.log10(1 - share)


def _curve(ordered: list[float]) -> list[tuple[float, float]]:
    """Points (place of the share, ms), as far as BEYOND messages lie beyond."""
    most = len(ordered) - BEYOND
    if most < 2:
        return []
    far = _across(most / len(ordered))
    points = []
    for step in range(POINTS + 1):
        share = 1 - 10 ** -(far * step / POINTS)
        points.append((far * step / POINTS, max(ordered[min(int(share * len(ordered)), most)] * 1000, 1e-4)))
    return points


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
