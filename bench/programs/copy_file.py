"""Floor of committing a large file: hash it with BLAKE3 and copy it, in one pass.

python copy_file.py FILE COPY [--sync]
"""

import os
import sys

import blake3

source, target = sys.argv[1:3]
hasher = blake3.blake3()
with open(source, "rb", buffering=0) as file, open(target, "wb", buffering=0) as copy:
    while block := file.read(2**22):
        hasher.update(block)
        copy.write(block)
    if "--sync" in sys.argv:
        os.fsync(copy.fileno())
print(hasher.hexdigest())
