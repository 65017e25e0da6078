"""The colours of concepts: the same in Python and in the page, apart for every kind of colour vision."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from llm_magics.tasks.concepts import explorer as explorer_room
from llm_magics.widgets import theme
from tests.contrast import contrast, rgb


def test_colours_never_stand_alone() -> None:
    """Colour and shape together tell 64 concepts apart; the page's script has the same ones."""
    assert len({(theme.colour(n), theme.shape(n)) for n in range(64)}) == 64
    script = (Path(explorer_room.__file__).parent / "page" / "palette.js").read_text()
    assert json.dumps(list(theme.COLOURS)) in script and json.dumps(list(theme.DARK)) in script
    [glyphs] = re.findall(r"const GLYPHS = (\[.*\]);", script)
    assert len(set(json.loads(glyphs))) == len(theme.SYMBOLS)


SIGHTS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What is left of linear red, green and blue (Machado, Oliveira and Fernandes 2009, severity 1)."""


def in_lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of linear sRGB, shape (n, 3)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear, 0, 1) @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


GROUNDS = {
    "light": (theme.COLOURS, theme.NO_COLOUR, "#ffffff"),
    "dark": (theme.DARK, theme.NO_COLOUR_DARK, "#16181c"),
}


@pytest.mark.checklist("W11")
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("sight", ["full", *SIGHTS])
def test_the_colours_stay_apart_and_stand_out(sight: str, ground: str) -> None:
    """Twenty, 3:1 with their page, the first eight with both; no two alike for any kind of colour vision."""
    colours, none, page = GROUNDS[ground]
    assert len(set(colours)) == 20
    for colour in (*colours, none):
        assert contrast(rgb(colour), rgb(page)) >= 3, colour
    for colour in theme.ON_BOTH:
        assert min(contrast(rgb(colour), other) for other in ((255, 255, 255), (17, 17, 17))) >= 3, colour
    parts = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = in_lab(linear @ np.array(SIGHTS.get(sight, np.eye(3))).T)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(seen), 1)]
    assert apart.min() > (20 if sight == "full" else 11)
