"""Train a Tesseract model on lines of story handwriting: six boxes, from raw data to a stored model version.

get raw data → clean → pre-process → train (side by side) → compare → store
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import floating
import pandas as pd
import scoring
from PIL import Image, ImageDraw

import headwater as hw
from headwater.flow import DataRef, active_run
from headwater.model import Contract, Field, ModelFile, register

STOCK = "/usr/share/tesseract-ocr/5/tessdata/eng.traineddata"
SCRATCH = "[1,36,0,1 Ct3,3,16 Mp3,3 Lfys48 Lfx96 Lrx96 Lfx192 O1c1]"
"""The stock fast model's own network, for training from nothing."""
BATCHES = 8
NARROWEST = 12  # pixels: less is no word
SYNTHETIC = "Synthetic handwriting (fonts): these figures say nothing about children's own."


# ---- get raw data


@hw.step(stage="get raw data")
def get(lines: DataRef) -> pd.DataFrame:
    """Return the lines of a version of the lake, in the order of their ids."""
    found = lines.read(columns=["id", "part", "writer", "text", "png"]).to_pandas()
    return found.assign(png=found["png"].map(bytes)).sort_values("id", ignore_index=True)


# ---- clean


@hw.step(stage="clean")
def clean(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the lines that can be learnt from: a text, a picture that opens and is wide enough, each once."""
    lines = lines.assign(text=lines["text"].fillna("").map(lambda text: " ".join(text.split())))
    readable = lines["png"].map(width) >= NARROWEST
    kept = lines[readable & (lines["text"] != "")].drop_duplicates("png").reset_index(drop=True)
    if kept.empty:
        raise ValueError("no line can be learnt from: look at the dataset")
    some = kept.iloc[:: max(1, len(kept) // 12)]
    hw.card(sheet(list(zip(some["png"], some["text"], strict=True))), "Lines as they are")
    hw.card([{"lines": len(lines), "kept": len(kept), "note": SYNTHETIC}], "Cleaning")
    return kept


def width(png: bytes) -> int:
    """Return the width of a picture in pixels, 0 where it cannot be opened."""
    try:
        return Image.open(io.BytesIO(png)).width
    except OSError:
        return 0


# ---- pre-process: the network, the character set and words (of training text alone), the lines in Tesseract's form

unpack_network = hw.command(
    ["combine_tessdata", "-e", STOCK, "eng.lstm"], outputs="eng.lstm", files=[STOCK], stage="pre-process"
)


@hw.step(stage="pre-process")
def to_float(network: bytes) -> bytes:
    """Return the stock network with float weights: training goes on from it, and not from an integer one."""
    return floating.to_float(network)


@hw.step(stage="pre-process")
def training_text(lines: pd.DataFrame) -> str:
    """Return the texts of the training writers, a line each; held-out lines are not looked at."""
    return "".join(f"{text}\n" for text in lines.loc[lines["part"] == "train", "text"])


extract_characters = hw.command(
    ["unicharset_extractor", "--output_unicharset", "unicharset", "--norm_mode", "1", "{text}"],
    inputs={"text": "all.txt"},
    outputs=hw.File("unicharset", "bytes"),
    stage="pre-process",
)


@hw.step(stage="pre-process")
def language_files(text: str) -> dict[str, bytes]:
    """Return what a language is made of beside its characters: words, punctuation, numbers, and no radicals."""
    words = sorted({word.strip(".,!?") for word in text.split()} - {""})
    files = {"words.txt": words, "puncs.txt": [".", "!", "?", ","], "nums.txt": [" "]}
    made = {name: "".join(f"{each}\n" for each in items).encode() for name, items in files.items()}
    return {**made, "langdata/radical-stroke.txt": b"# none needed for Latin\n", "made/.keep": b""}


combine_language = hw.command(
    [
        "combine_lang_model", "--input_unicharset", "{characters}", "--script_dir", "files/langdata", "--output_dir",
        "files/made", "--lang", "kid", "--words", "files/words.txt", "--puncs", "files/puncs.txt", "--numbers",
        "files/nums.txt",
    ],
    inputs={"characters": "unicharset", "language": "files/"},
    outputs=hw.File("files/made/kid/kid.traineddata"),
    stage="pre-process",
)  # fmt: skip


@hw.step(stage="pre-process")
def batch(lines: pd.DataFrame, number: int) -> dict[str, bytes]:
    """Return every ``BATCHES``-th training line as one picture of many pages and the boxes that say what stands."""
    chosen = lines[lines["part"] == "train"].iloc[number::BATCHES].to_dict("records")
    images = [Image.open(io.BytesIO(line["png"])) for line in chosen]
    out = io.BytesIO()
    images[0].save(out, "TIFF", save_all=True, append_images=images[1:])
    boxes = []
    for page, (line, image) in enumerate(zip(chosen, images, strict=True)):
        boxes += [f"{each} 0 0 {image.width} {image.height} {page}" for each in (*line["text"], "\t")]
    return {"lines.tif": out.getvalue(), "lines.box": "".join(f"{box}\n" for box in boxes).encode()}


make_features = hw.command(
    ["tesseract", "page/lines.tif", "lines", "--psm", "13", "lstm.train"],
    inputs={"page": "page/"},
    outputs="lines.lstmf",
    files=[STOCK],
    environ={"OMP_THREAD_LIMIT": "1"},
    stage="pre-process",
)


@hw.step(stage="pre-process")
def gather(features: list[bytes]) -> dict[str, bytes]:
    """Return the training lines as a folder with its list."""
    made = {f"{number}.lstmf": each for number, each in enumerate(features)}
    return {**made, "list.txt": "".join(f"lines/{name}\n" for name in made).encode()}


# ---- train

_PROGRESS = re.compile(r"At iteration (\d+)/\d+/\d+.*BCER train=([\d.]+)%(?:.*BWER train=([\d.]+)%)?")


def hear(line: str, arguments: dict[str, Any]) -> None:
    """Log the error on training lines, which lstmtraining tells every hundred iterations."""
    found, run = _PROGRESS.search(line), active_run()
    if found is not None and run is not None:
        name = f"training CER at rate {arguments['rate']}"
        run.log({name: float(found[2]) / 100}, step=int(found[1]))
        run.flush()


_TRAINING = [
    "--traineddata", "{language}", "--learning_rate", "{rate}", "--model_output", "out/m", "--train_listfile",
    "lines/list.txt", "--max_iterations", "{iterations}", "--target_error_rate", "0.005", "--debug_interval", "0",
]  # fmt: skip
_ROOM = {"stop_after_s": "seconds", "on_line": hear, "stage": "train"}

fine_tune = hw.command(
    # Without the reset a network that is continued keeps its own rate, and --learning_rate changes nothing.
    ["lstmtraining", "--continue_from", "{network}", "--old_traineddata", STOCK, "--reset_learning_rate", *_TRAINING],
    inputs={"network": "eng.lstm", "language": "kid.traineddata", "lines": "lines/"},
    outputs="out/",
    files=[STOCK],
    environ={"OMP_THREAD_LIMIT": "1"},
    **_ROOM,
)

from_scratch = hw.command(
    ["lstmtraining", "--net_spec", SCRATCH, *_TRAINING],
    inputs={"language": "kid.traineddata", "lines": "lines/"},
    outputs="out/",
    environ={"OMP_THREAD_LIMIT": "1"},
    **_ROOM,
)


@hw.step(stage="train")
def best_checkpoint(trained: dict[str, bytes]) -> bytes:
    """Return the checkpoint with the least error on training lines: its name begins with that error."""
    named = re.compile(r"m_([\d.]+)_\d+_\d+\.checkpoint")
    found = {name: float(match[1]) for name in trained if (match := named.fullmatch(name))}
    if not found and "m_checkpoint" in trained:
        return trained["m_checkpoint"]  # it ended at its last iteration, before an error was better than the start's
    if not found:
        raise ValueError(
            f"the time was over before the first checkpoint: give more seconds. There is {sorted(trained)}"
        )
    return trained[min(found, key=lambda name: (found[name], name))]


finish = hw.command(
    [
        "lstmtraining", "--stop_training", "--convert_to_int", "--continue_from", "{checkpoint}", "--traineddata",
        "{language}", "--model_output", "model.traineddata",
    ],
    inputs={"checkpoint": "best.checkpoint", "language": "kid.traineddata"},
    outputs="model.traineddata",
    stage="train",
)  # fmt: skip


# ---- compare


@hw.step(stage="compare", files=[STOCK])
def stock_model() -> bytes:
    """Return the stock English model."""
    with open(STOCK, "rb") as file:
        return file.read()


@hw.step(stage="compare")
def read_held_out(model: bytes, lines: pd.DataFrame) -> pd.DataFrame:
    """Return what a model reads in the lines of held-out writers, with its edits."""
    from headwater.model.flavours.tesseract import reading

    held = lines[lines["part"] == "held_out"].to_dict("records")
    found = []
    with reading(model) as read:
        for line in held:
            said = read(line["png"])[0]
            found.append({**line, "said": said, **scoring.counted(line["text"], said)})
    return pd.DataFrame(found)


@hw.step(stage="compare")
def compare(stock: pd.DataFrame, readings: list[pd.DataFrame], names: list[str]) -> dict[str, Any]:
    """Return the rates of each model with their intervals, and which is best by character errors."""
    rows = []
    for name, lines in zip(["stock English", *names], [stock, *readings], strict=True):
        row: dict[str, Any] = {"model": name, "lines": len(lines)}
        for short, unit in (("CER", "character"), ("WER", "word")):
            low, high = scoring.interval(lines, unit)
            row |= {short: scoring.rate(lines, unit), f"{short} low": low, f"{short} high": high}
        row["CER minus stock, low"], row["CER minus stock, high"] = scoring.interval(lines, "character", against=stock)
        rows.append(row)
    best = min(range(len(readings)), key=lambda number: (rows[number + 1]["CER"], number))
    hw.card(rows, f"Held-out writers. {SYNTHETIC}")
    chosen = readings[best]
    share = chosen["character_edits"] / chosen["characters"]
    worst = chosen.loc[share.sort_values(ascending=False, kind="stable").index[:12]].to_dict("records")
    hw.card(sheet([(line["png"], f"{line['text']}   read as: {line['said']}") for line in worst]), "Worst lines")
    run = active_run()
    if run is not None:
        run.log({"CER": rows[best + 1]["CER"], "WER": rows[best + 1]["WER"], "CER of stock": rows[0]["CER"]})
    return {"best": best, "name": names[best], "rows": rows, "better": rows[best + 1]["CER minus stock, high"] < 0}


# ---- store


@hw.step(stage="store")
def store(models: list[bytes], compared: dict[str, Any], data: DataRef) -> str:
    """Keep the best model as a version of ``story-ocr`` with its figures, and return the version's label."""
    project = hw.current()
    content, figures = models[compared["best"]], compared["rows"][compared["best"] + 1]
    file = ModelFile(
        name="kid.traineddata", digest=project.objects.put(content), size=len(content), flavour="tesseract"
    )
    contract = Contract(
        inputs=(Field(name="image", type="str", description="one line of writing, a picture file in base64"),),
        outputs=(Field(name="text", type="str"), Field(name="confidence", type="float", minimum=0, maximum=1)),
    )
    version = register(
        project, "story-ocr", files=[file], contract=contract, params={"training": compared["name"]},
        metrics={"CER": figures["CER"], "WER": figures["WER"], "CER of stock": compared["rows"][0]["CER"]},
        run=active_run().id, trained_on=[data.ref],
    )  # fmt: skip
    return version.label


def sheet(lines: list[tuple[bytes, str]]) -> bytes:
    """Return pictures of lines below each other, each with what is said of it, as a PNG."""
    pictures = [Image.open(io.BytesIO(png)).convert("L") for png, _ in lines]
    made = Image.new("L", (max(640, *(each.width for each in pictures)), 72 * len(lines)), 255)
    draw = ImageDraw.Draw(made)
    for number, (picture, (_, text)) in enumerate(zip(pictures, lines, strict=True)):
        made.paste(picture, (0, number * 72))
        draw.text((2, number * 72 + 52), text.encode("ascii", "replace").decode(), fill=90)
    out = io.BytesIO()
    made.save(out, "PNG")
    return out.getvalue()


@hw.flow(name="story-ocr")
def story_ocr(
    data: str = "lines@main",
    rates: Sequence[float] = (0.002, 0.001),
    seconds: float = 90,
    iterations: int = 100_000,
    scratch: bool = False,
) -> Any:
    """Fine-tune the stock English model with several learning rates side by side, compare, and store the best.

    ``scratch`` trains a new network instead, which takes some 20 minutes to be of use: ``seconds=1200``.
    """
    ref = DataRef(data)
    lines = clean(get(ref))
    text = training_text(lines)
    language = combine_language(extract_characters(text), language_files(text))
    network = to_float(unpack_network())
    folder = gather(make_features.map([batch(lines, number) for number in range(BATCHES)]))
    models = []
    for rate in rates:
        if scratch:
            trained = from_scratch(language, folder, rate, iterations, seconds)
        else:
            trained = fine_tune(network, language, folder, rate, iterations, seconds)
        models.append(finish(best_checkpoint(trained), language))
    readings = [read_held_out(model, lines) for model in models]
    compared = compare(read_held_out(stock_model(), lines), readings, [f"rate {rate}" for rate in rates])
    store(models, compared, ref)
    return compared
