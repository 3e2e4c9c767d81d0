"""The charting library: its script for the page, and charts compiled for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

SNIPPET = "window.vegaEmbed = vegaEmbed;"


@cache
def library() -> str:
    """Return Vega-Embed, with Vega, as JavaScript text that is safe inside a script element.

    The script is taken from the vl-convert package: nothing is downloaded. That package's snippets
    can also name Vega alone, but some versions then return nothing.
    """
    import vl_convert

    text: str = vl_convert.javascript_bundle(SNIPPET, vl_version=vega_lite())
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def vega_lite() -> str:
    """Return the version of Vega-Lite for which altair writes charts."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def compiled(
    specs: Mapping[str, Any], themes: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return each chart compiled to Vega, by theme and name, so that the page needs no compiler."""
    import vl_convert

    version = vega_lite()
    return {
        theme: {
            name: vl_convert.vegalite_to_vega(spec, vl_version=version, config=config)
            for name, spec in specs.items()
        }
        for theme, config in themes.items()
    }
