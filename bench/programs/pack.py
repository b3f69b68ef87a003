"""Floor of committing files: hash each with BLAKE3 and append it to one pack, with an index beside it.

python pack.py FOLDER PACK [--sync]
"""

import json
import os
import sys

import blake3

folder, place = sys.argv[1:3]
sync = "--sync" in sys.argv
index = {}
offset = 0
with open(place, "wb", buffering=1 << 20) as pack:
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                content = file.read()
            index[os.path.relpath(path, folder)] = (blake3.blake3(content).hexdigest(), offset, len(content))
            pack.write(content)
            offset += len(content)
    if sync:
        pack.flush()
        os.fsync(pack.fileno())
with open(place + ".json", "w") as file:
    json.dump(index, file)
    if sync:
        file.flush()
        os.fsync(file.fileno())
print(len(index))
