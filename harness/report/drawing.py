"""Pictures by matplotlib, as SVG and PNG: one look, no global state, names of others taken as they are."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from .palette import BLACK

PICTURE_DPI = 160
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"#([\w-]+)")
_LOOK: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": BLACK,
    "text.parse_math": False,  # a process may be called $x$
    "legend.fontsize": 8,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
    "path.simplify": True,
}


@contextmanager
def look() -> Iterator[None]:
    """Draw and save inside of it."""
    with mpl.rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # a name in any script
        yield


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The picture as SVG of its own: it refers to nothing outside. `name` keeps its ids apart from other pictures'."""
    raw = io.BytesIO()
    with look(), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(raw, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _tidy(raw.getvalue(), description)


def _tidy(svg: bytes, description: str) -> str:
    """Without metadata and the ids that nothing refers to (a page has each id once), with a description to be read aloud."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    referred = {
        name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)
    }
    for element in root.iter():
        if element.get("id") not in referred:
            element.attrib.pop("id", None)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for size in ("width", "height"):  # the view box scales
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", description)
    return ElementTree.tostring(root, encoding="unicode")


def to_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file, without the name of the program that made it."""
    raw = io.BytesIO()
    with look():
        figure.savefig(raw, format="png", metadata={"Software": None})
    return raw.getvalue()
