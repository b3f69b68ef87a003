"""What the example needs and this machine lacks: ``python doctor.py`` says it, and how to get it."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

TOOLS = ("tesseract", "combine_tessdata", "combine_lang_model", "lstmtraining", "unicharset_extractor")
PACKAGES = {
    "tesseract-ocr": TOOLS,
    "tesseract-ocr-eng": ("/usr/share/tesseract-ocr/5/tessdata/eng.traineddata",),
    "wamerican-small": ("/usr/share/dict/words",),
    "fonts-sjfonts": ("/usr/share/fonts/truetype/sjfonts/SteveHand.ttf",),
    "fonts-breip": ("/usr/share/fonts/truetype/breip/Breip.ttf",),
    "fonts-dkg-handwriting": ("/usr/share/fonts/truetype/fifthhorseman/dkg.ttf",),
    "fonts-comic-neue": ("/usr/share/fonts/opentype/comic-neue/ComicNeue-Regular.otf",),
    "fonts-tlwg-purisa-otf": ("/usr/share/fonts/opentype/tlwg/Purisa.otf",),
    "fonts-ecolier-court": ("/usr/share/fonts/truetype/ecolier-court/Ecolier-court.ttf",),
    "fonts-femkeklaver": ("/usr/share/fonts/truetype/femkeklaver/femkeklaver.ttf",),
    "fonts-rufscript": ("/usr/share/fonts/truetype/rufscript/Rufscript010.ttf",),
}
"""Debian's packages, and what each has to bring."""

MODULES = {"tesserocr": "ocr", "PIL": "ocr", "pandas": "pandas", "pyarrow": "arrow"}


def problems() -> list[str]:
    """Return a sentence for each thing that is missing, with the command that brings it; none when all is there."""
    missing = [
        package
        for package, brings in PACKAGES.items()
        if not all(Path(each).exists() if each.startswith("/") else shutil.which(each) for each in brings)
    ]
    found = []
    if missing:
        found.append(f"missing of Debian: {' '.join(missing)}. As root: apt-get install {' '.join(missing)}")
    extras = sorted({extra for module, extra in MODULES.items() if importlib.util.find_spec(module) is None})
    if extras:
        found.append(f"missing of Python: pip install 'headwater[{','.join(extras)}]'")
    return found


if __name__ == "__main__":
    told = problems()
    print("\n".join(told) or "all that story_ocr needs is here")
    sys.exit(1 if told else 0)
