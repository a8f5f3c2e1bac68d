"""The gallery: its page is of its pictures, and these are small."""

from __future__ import annotations

import pytest
from PIL import Image

import hem
from experiments import gallery


def shown() -> list[gallery.Exhibit]:
    every = (*gallery.REACHING, *gallery.OBJECTS)
    return [e for e in every if (gallery.PICTURES / f"{e.name}-film.png").exists()]


def test_the_page_shows_the_pictures_that_are_there():
    assert (gallery.DOCS / "gallery.md").read_text() == gallery.page(shown())
    assert shown()


@pytest.mark.parametrize("exhibit", shown(), ids=lambda exhibit: exhibit.name)
def test_pictures_are_small(exhibit):
    for part in ("film", "curve"):
        assert (gallery.PICTURES / f"{exhibit.name}-{part}.png").stat().st_size < 40_000


def test_a_run_is_drawn(tmp_path, monkeypatch):
    exhibit = gallery.Exhibit("FlipBit", "Flip bits.", {"bits": 4})
    run = hem.train("FlipBit", bits=4, env_steps=600, eval_interval=200, run_dir=tmp_path / "run")
    monkeypatch.setattr(gallery, "PICTURES", tmp_path)
    gallery.draw(exhibit, run.folder)
    with Image.open(tmp_path / "flipbit-film.png") as film:
        assert film.size[1] == gallery.HEIGHT
        assert film.size[0] >= gallery.SHOTS * gallery.HEIGHT
    with Image.open(tmp_path / "flipbit-curve.png") as curve:
        assert len(curve.convert("RGB").getcolors(100_000)) > 1
