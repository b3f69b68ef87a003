"""Lines of a children's story, written by fonts: SYNTHETIC handwriting, for want of real lines with their text.

Ink, slant, paper, ruled lines and noise differ from line to line. A figure measured on these says how well a model
reads these fonts, not how well it reads children.
"""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts")
TRAINING = {
    "steve": "truetype/sjfonts/SteveHand.ttf",
    "breip": "truetype/breip/Breip.ttf",
    "dkg": "truetype/fifthhorseman/dkg.ttf",
    "neue": "opentype/comic-neue/ComicNeue-Regular.otf",
    "purisa": "opentype/tlwg/Purisa.otf",
    "ecolier": "truetype/ecolier-court/Ecolier-court.ttf",
    "femke": "truetype/femkeklaver/femkeklaver.ttf",
}
HELD_OUT = {"delphine": "truetype/sjfonts/Delphine.ttf", "ruf": "truetype/rufscript/Rufscript010.ttf"}
"""Writers whose lines are never trained on."""

DICTIONARY = Path("/usr/share/dict/words")
HEIGHT = 48
_JOINED = ("ecolier",)
_PARTS = {
    "who": "the little dragon|my best friend|a brave girl|the old wizard|our dog max|a tiny robot|the sleepy cat|my "
    "grandma|the pirate queen|a big bear|the blue whale|my brother sam|the magic horse|a funny monster|princess ruby",
    "did": "found|lost|made|saw|wanted|jumped over|looked for|painted|ate|hid|opened|carried|flew with|played with",
    "what": "a golden key|the last cookie|a rocket ship|seven red balloons|an old treasure map|the biggest cake|a "
    "secret door|some magic beans|a castle of snow|the rainbow|a quiet mouse|two yellow shoes|a box of stars",
    "where": "in the forest|under the bed|at the beach|on the moon|near the river|behind the school|in a dark cave|"
    "over the hill|by the garden gate|up in the sky|inside the tree house|on a boat|across the field",
    "when": "one day|last night|after lunch|in the morning|suddenly|at the end|once upon a time|before bed",
    "felt": "happy|sad|scared|very tired|excited|proud|hungry|cold|brave|angry|quiet|lucky|surprised|silly|glad",
}
GRAMMAR = {name: text.split("|") for name, text in _PARTS.items()}
FRAMES = (
    "when who did what",
    "who did what where",
    "who was felt",
    "and did what",
    "i did what where",
    "when i felt felt",
)


def words() -> list[str]:
    """Return the short plain words of the system's dictionary."""
    found = DICTIONARY.read_text(encoding="utf-8").split()
    return [word for word in found if word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= 8]


def sentence(rng: random.Random, dictionary: list[str]) -> str:
    """Return two to six words: part of a story, or for one line in four words that no story has together."""
    if rng.random() < 0.25:
        text = " ".join(rng.choice(dictionary) for _ in range(rng.randint(2, 5)))
    else:
        text = " ".join(rng.choice(GRAMMAR[part]) if part in GRAMMAR else part for part in rng.choice(FRAMES).split())
    parts = text.split()
    most = rng.randint(2, 6)
    if len(parts) > most:
        start = rng.randrange(len(parts) - most + 1)
        parts = parts[start : start + most]
    text = " ".join(parts)
    if rng.random() < 0.35:
        text = text[0].upper() + text[1:]
    return text + rng.choice("..!?,") if rng.random() < 0.35 else text


def write(text: str, writer: str, rng: random.Random) -> bytes:
    """Return a line as a PNG of ``HEIGHT`` pixels, grey."""
    path = FONTS / {**TRAINING, **HELD_OUT}[writer]
    font = ImageFont.truetype(str(path), rng.randint(34, 44))
    width, height, top = int(font.getlength(text) * 1.25) + 80, 110, 28
    ink = _drawn(text, font, (width, height), top, rng, joined=writer in _JOINED)
    shear = rng.uniform(-0.15, 0.15)
    ink = ink.rotate(rng.uniform(-1.6, 1.6), resample=Image.Resampling.BICUBIC)
    slant = (1, shear, -shear * height / 2, 0, 1, 0)
    ink = ink.transform(ink.size, Image.Transform.AFFINE, slant, resample=Image.Resampling.BICUBIC)
    if rng.random() < 0.2:
        ink = ink.filter(ImageFilter.MaxFilter(3))
    ink = ink.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    grey, strokes = _on_paper(np.asarray(ink, dtype=np.float32) / 255, top + font.size, rng)
    rows, columns = np.nonzero(strokes > 0.25)
    edge = rng.randint(3, 8)
    cut = grey[max(0, rows.min() - edge) : rows.max() + edge, max(0, columns.min() - edge) : columns.max() + edge]
    line = Image.fromarray(cut)
    line = line.resize((max(8, line.width * HEIGHT // line.height), HEIGHT), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    line.save(out, "PNG")
    return out.getvalue()


def _drawn(text: str, font: Any, size: tuple[int, int], top: int, rng: random.Random, *, joined: bool) -> Any:
    image = Image.new("L", size, 0)
    draw = ImageDraw.Draw(image)
    at, phase, wave = 20.0, rng.random() * 6.28, rng.random() * 2.5
    for part in text.split(" ") if joined else text:
        y = top + wave * np.sin(at / 90 + phase)
        draw.text((at + rng.gauss(0, 0.4), y + (0 if joined else rng.gauss(0, 0.8))), part, font=font, fill=255)
        stretch = (0.92, 1.12) if joined else (0.95, 1.1) if part != " " else (0.8, 1.3)
        at += font.getlength(part + " " if joined else part) * rng.uniform(*stretch)
    return image


def _on_paper(strokes: Any, baseline: float, rng: random.Random) -> tuple[Any, Any]:
    """Return grey values and strokes: pencil grain, paper, sometimes a ruled line, noise and specks."""
    noise = np.random.RandomState(rng.randrange(2**31))
    height, width = strokes.shape
    grain = noise.normal(1, 0.25, (height // 3 + 1, width // 3 + 1)).clip(0.45, 1.3)
    strokes = (strokes * np.kron(grain, np.ones((3, 3)))[:height, :width]).clip(0, 1)
    ink, paper = rng.uniform(10, 110), rng.uniform(205, 255)
    grey = paper - (paper - ink) * strokes
    if rng.random() < 0.3:
        row = int(baseline * 0.95 + rng.uniform(-3, 6))
        if row < height - 2:
            grey[row : row + 2] = np.minimum(grey[row : row + 2], rng.uniform(150, 200))
    grey += noise.normal(0, rng.uniform(1, 9), grey.shape)
    grey[noise.random_sample(grey.shape) < 0.0006] = 60
    return grey.clip(0, 255).astype(np.uint8), strokes


def pages(count: int, held_out: int, seed: int) -> dict[str, list[Any]]:
    """Return the columns of a dataset of lines: ``count`` of the training writers, ``held_out`` of the others."""
    rng, dictionary = random.Random(seed), words()
    columns: dict[str, list[Any]] = {"id": [], "part": [], "writer": [], "text": [], "png": []}
    for part, number, writers in (("train", count, list(TRAINING)), ("held_out", held_out, list(HELD_OUT))):
        for each in range(number):
            text, writer = sentence(rng, dictionary), writers[each % len(writers)]
            row = (f"{part}-{each:05d}", part, writer, text, write(text, writer, rng))
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    return columns
