"""All colours of page and charts, light and dark: style sheet and charts define none.

Blue and orange are distinguishable with every common form of colour blindness, and a verdict is
never shown by colour alone. Cells of the heat map are pale in the light theme and deep in the dark
one, so that one text colour has a contrast of at least 4.5 to 1 (WCAG 2.2, AA) on all of them.
"""

from __future__ import annotations

from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

LIGHT = {
    "text": "#1c2430",
    "quiet": "#5a6675",
    "line": "#d5dbe3",
    "paper": "#ffffff",
    "band": "#eceff3",
    "positive": "#1f66b3",
    "negative": "#9c4700",
    "equivalent": "#4d5866",
    "harm_ruled_out": "#2b637e",
    "gain_ruled_out": "#74571c",
    "undecided": "#5f6a77",
    "back": "#f4f6f9",
    "positive-pale": "#d9e8f8",
    "negative-pale": "#fbe3cb",
    "equivalent-pale": "#e6e9ed",
    "harm_ruled_out-pale": "#e3f1f7",
    "gain_ruled_out-pale": "#f7eeda",
    "undecided-pale": "#f1f3f6",
    "diverging": ["#f2a35c", "#f9d0a6", "#f6f6f4", "#b3d2f2", "#72aae6"],
}
DARK = {
    "text": "#e8ecf2",
    "quiet": "#a4afbd",
    "line": "#3a4350",
    "paper": "#161b22",
    "band": "#252c36",
    "positive": "#74b0f4",
    "negative": "#f0984a",
    "equivalent": "#b4bdc9",
    "harm_ruled_out": "#8fcbe6",
    "gain_ruled_out": "#dcc07e",
    "undecided": "#a4afbd",
    "back": "#0d1117",
    "positive-pale": "#18324f",
    "negative-pale": "#4a2c12",
    "equivalent-pale": "#2b323c",
    "harm_ruled_out-pale": "#16303c",
    "gain_ruled_out-pale": "#3a3017",
    "undecided-pale": "#20262e",
    "diverging": ["#8f4a0a", "#5e3a1c", "#2b3038", "#1f4468", "#1d5c9e"],
}
SOURCES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#666666"]
"""The colours of sources' lines, after Okabe and Ito, with a yellow dark enough for white paper."""
SOURCES_DARK = [
    *("#4aa8e8", "#f28a3c", "#2ec89b", "#e39bc4", "#e3b94d", "#8fd0f7", "#b48ad6", "#b0b0b0"),
]


def config(colours: dict[str, Any], sources: list[str]) -> dict[str, Any]:
    """Return the Vega-Lite config with these colours for all charts."""
    text = {"labelColor": colours["text"], "titleColor": colours["quiet"]}
    return {
        "font": FONT,
        "background": None,
        "axis": {
            **text,
            "gridColor": colours["line"],
            "domainColor": colours["line"],
            "tickColor": colours["line"],
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 400,
        },
        "legend": {**text, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        "header": {**text, "labelFontSize": 12, "titleFontSize": 12},
        "title": {
            "color": colours["text"],
            "subtitleColor": colours["quiet"],
            "fontSize": 14,
            "anchor": "start",
            "offset": 12,
        },
        "view": {"stroke": None},
        "range": {
            "diverging": colours["diverging"],
            "category": [colours[kind.key] for kind in Kind],
            "ordinal": sources,
        },
        "style": _styles(colours),
    }


def _styles(colours: dict[str, Any]) -> dict[str, Any]:
    named = {
        "cell-text": "text",
        "quiet-text": "quiet",
        "hatch": "paper",
        "band": "band",
        "zero": "quiet",
        "front": "quiet",
    }
    return {style: {"color": colours[name]} for style, name in named.items()}


def themes() -> dict[str, dict[str, Any]]:
    """Return the config of each theme by name."""
    return {"light": config(LIGHT, SOURCES), "dark": config(DARK, SOURCES_DARK)}


def variables() -> str:
    """Return the colours as variables of the style sheet; printing uses the light ones."""
    light, dark = (_block(name, found) for name, found in (("light", LIGHT), ("dark", DARK)))
    on_dark = ':root[data-theme="dark"]'
    return f":root {light}@media screen {{ {on_dark} {dark}}}\n"


def _block(name: str, colours: dict[str, Any]) -> str:
    told = (f"--{key}: {value};" for key, value in colours.items() if isinstance(value, str))
    return f"{{ color-scheme: {name}; {' '.join(told)} }}\n"
