"""Projects whose code nobody wrote for a test: packages as they are installed here, each with a few steps on top.

Their source is read from where it is installed, in the versions of ``requirements.lock``; none of it is kept in this
repository. A package is renamed (``toolz`` to ``our_toolz``), so that it is the project's own code and not the
installed one; nothing else of it is changed.

=============  ============  =================================================  ====================================
package        licence       from                                               style
=============  ============  =================================================  ====================================
toolz          BSD-3-Clause  https://github.com/pytoolz/toolz                   functions, decorators, star imports,
                                                                                curried copies made on import
itsdangerous   BSD-3-Clause  https://github.com/pallets/itsdangerous            classes, inheritance, class attributes
markdown-it    MIT           https://github.com/executablebooks/markdown-it-py  tables of rules, presets, dispatch
                                                                                by name, many small modules
cronsim        BSD-3-Clause  https://github.com/cuu508/cronsim                  enums, generators, state machines
=============  ============  =================================================  ====================================
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

HEAD = "from headwater.flow import flow, step\n"

FLOWS = {
    "toolz": '''
from our_toolz import compose, curry, groupby, pipe, frequencies, merge_with, sliding_window, unique
from our_toolz import dicttoolz as dicts
import our_toolz.curried as curried


@step
def words(text):
    return [groupby(len, text.split()), frequencies(text), list(unique(text.split()))]


@step
def windows(n):
    from our_toolz.itertoolz import partition_all, accumulate
    from operator import add
    return [list(sliding_window(2, range(n))), list(partition_all(3, range(n))), list(accumulate(add, range(n)))]


@step
def piped(n):
    return pipe(range(n), curried.map(lambda x: x + 1), curried.filter(lambda x: x % 2), list, sum)


@step
def merged(n):
    return [merge_with(sum, {1: n}, {1: 2, 2: 3}), dicts.assoc_in({}, ["a", "b"], n), dicts.keymap(str, {1: 2})]


@curry
def multiply(a, b):
    return a * b


@step
def composed(n):
    return compose(multiply(3), multiply(b=4))(n)


@flow
def main(n=5):
    return [words("the cat sat on the mat with a hat"), windows(n), piped(n), merged(n), composed(n)]
''',
    "itsdangerous": '''
from our_itsdangerous import BadSignature, Serializer, Signer, URLSafeSerializer
from our_itsdangerous import encoding
from our_itsdangerous.signer import HMACAlgorithm, NoneAlgorithm


@step
def signed(x):
    return Signer("secret", salt="salt").sign(str(x)).decode()


@step
def checked(x):
    signer = Signer("secret")
    try:
        return [signer.unsign(signer.sign(str(x))).decode(), signer.validate(b"nonsense"), signer.unsign("broken")]
    except BadSignature as error:
        return str(error)


@step
def packed(x):
    both = Serializer("key").dumps({"x": x}), URLSafeSerializer("key").dumps(["long" * 20, x])
    return [both, URLSafeSerializer("key").loads(both[1])]


@step
def encoded(x):
    made = encoding.base64_encode(b"abc").decode(), encoding.int_to_bytes(x + 300).hex()
    return [*made, encoding.want_bytes("x").hex()]


@step
def algorithms(x):
    return [HMACAlgorithm().get_signature(b"k", b"v").hex(), NoneAlgorithm().get_signature(b"k", b"v").hex(), x]


@flow
def main(n=5):
    return [signed(n), checked(n), packed(n), encoded(n), algorithms(n)]
''',
    "markdown_it": '''
from our_markdown_it import MarkdownIt
from our_markdown_it.common.utils import escapeHtml, unescapeAll
from our_markdown_it.helpers import parseLinkDestination

TEXT = """# Title

Some *emphasis*, `code`, **strong** and a [link](http://example.com "title") <b>html</b>.

- one
- two
    1. three

> quoted &amp; done

| a | b |
|---|---|
| 1 | 2 |

```python
print()
```
"""


@step
def page(n):
    return MarkdownIt().render(TEXT * n)


@step
def tables(n):
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("list").render(TEXT)


@step
def tokens(n):
    return [token.type for token in MarkdownIt("zero").enable(["emphasis"]).parse(TEXT)]


@step
def escaped(n):
    return [escapeHtml("<a & b>"), unescapeAll("\\\\&amp;"), parseLinkDestination("<x y> z", 0, 7).str]


@flow
def main(n=1):
    return [page(n), tables(n), tokens(n), escaped(n)]
''',
    "cronsim": '''
from datetime import datetime

from our_cronsim import CronSim
from our_cronsim.cronsim import Field

START = datetime(2026, 3, 1, 12, 30)


@step
def next_times(expression):
    times = CronSim(expression, START)
    return [str(next(times)) for _ in range(4)]


@step
def in_words(expression):
    return CronSim(expression, START).explain()


@step
def fields(expression):
    return [each.name for each in Field]


@step
def refused(expression):
    try:
        CronSim(expression, START)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@flow
def main():
    return [
        next_times("*/15 9-17 * * MON-FRI"), next_times("0 0 L 2 *"), in_words("5,35 */2 1-7 JAN *"),
        fields("x"), refused("61 * * * *"),
    ]
''',
}  # fmt: skip
BORROWED = tuple(FLOWS)


def borrow(package: str) -> dict[str, str]:
    """Return the files of a project that has an installed package as its own code."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    home = Path(found.origin).parent
    files = {"flows.py": HEAD + FLOWS[package]}
    for path in sorted(home.rglob("*.py")):
        inside = path.relative_to(home)
        if not {"tests", "cli", "__main__.py"} & set(inside.parts):
            files[f"our_{package}/{inside}"] = re.sub(rf"(?<![\w.]){package}\b", f"our_{package}", path.read_text())
    return files
