"""What the files in git say of where packages come from: names and digests, never an address."""

import re
import tomllib

import pytest

from tests.tracked import ROOT, tracked_files

# Written apart, so that this file does not hold what it looks for.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian.org",
    "security." + "debian.org",
]
INDEX_OPTIONS = ["--index" + "-url", "--extra-index" + "-url", "--find" + "-links", "--trusted" + "-host"]


def tracked_texts() -> dict[str, str]:
    """Return the text of each file in git; what is not text is left out."""
    contents = {str(path.relative_to(ROOT)): path.read_bytes() for path in tracked_files()}
    return {name: content.decode(errors="replace") for name, content in contents.items() if b"\0" not in content}


def lock_entries(text: str) -> dict[str, list[str]]:
    """Return the digests of each ``name==version`` line of a lock.

    Raises:
        ValueError: a line is anything but a pin, a digest or a comment.
    """
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        part = line.strip().removesuffix("\\").strip()
        if not part or part.startswith("#"):
            continue
        if pin := re.fullmatch(r"[a-z0-9._-]+(\[[a-z,]+\])?==[a-z0-9.+!-]+( ; .*)?", part):
            entries[pin.group()] = []
        elif digest := re.fullmatch(r"--hash=(sha256:[0-9a-f]{64})", part):
            entries[list(entries)[-1]].append(digest.group(1))
        else:
            raise ValueError(f"neither a pin nor a digest: {line}")
    return entries


def test_no_tracked_file_names_a_registry_host() -> None:
    named = [(name, host) for name, text in tracked_texts().items() for host in REGISTRIES if host in text]

    assert named == []


def test_no_tracked_file_chooses_a_package_index() -> None:
    # --no-emit-index-url, with which the lock is made, is the opposite.
    choosing = [
        (name, option)
        for name, text in tracked_texts().items()
        for option in INDEX_OPTIONS
        if re.search(rf"(?<![\w-]){option}", text)
    ]

    assert choosing == []


def test_each_package_of_the_lock_is_pinned_by_digest() -> None:
    entries = lock_entries((ROOT / "requirements.lock").read_text())

    assert len(entries) > 50
    assert [pin for pin, digests in entries.items() if not digests] == []


@pytest.mark.parametrize(
    "line", ["click", "click>=8", "click @ file:///click.whl", "--index" + "-url https://packages.example/simple"]
)
def test_a_lock_with_anything_but_pins_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="neither a pin nor a digest"):
        lock_entries(f"rich==15.0.0 \\\n    --hash=sha256:{'0' * 64}\n{line}\n")


# PyTorch takes several GB with what it brings along, shap a compiler: their tests run where they are installed, and the
# how-tos say so.
NOT_LOCKED = {"safetensors", "shap", "torch", "transformers"}


def test_the_lock_holds_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=;, ]", requirement)[0].lower() for requirement in declared} - {"headwater"}
    locked = {
        pin.partition("==")[0].partition("[")[0] for pin in lock_entries((ROOT / "requirements.lock").read_text())
    }

    assert names - locked == NOT_LOCKED
