"""Write the browser assets that are built, not kept in git: the charts bundle.

Usage: python scripts/build_assets.py
"""

import os
from importlib.metadata import version
from pathlib import Path

STATIC = Path(__file__).parent.parent / "src" / "headwater" / "web" / "static"
SNIPPET = "window.vegaEmbed = vegaEmbed; window.vega = vega; window.vegaLite = vegaLite;"


def build_vega(target: Path) -> bool:
    """Write vega, vega-lite and vega-embed as one script; return False if ``target`` was already this version.

    The bundle needs nothing from another host. It sets ``vega``, ``vegaLite`` and ``vegaEmbed`` on the window,
    and runs under a policy without unsafe-eval when called as ``vegaEmbed(element, spec, {ast: true})``.
    """
    made_by = f"/*! vl-convert-python {version('vl-convert-python')}; licences in vega.LICENSE.txt */\n"
    if target.exists() and target.read_text(encoding="utf-8").startswith(made_by):
        return False
    import vl_convert  # a build tool of 80 MB that starts an engine: only when there is something to build

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(made_by + vl_convert.javascript_bundle(SNIPPET), encoding="utf-8")
    os.replace(partial, target)
    return True


if __name__ == "__main__":
    if build_vega(STATIC / "vega.js"):
        print("built src/headwater/web/static/vega.js")
