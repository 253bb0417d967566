"""Writes a GGUF with its matrices in another type, by the gguf package's own numpy code (Debian: pip install gguf):

    python3 tests/requantize.py IN.gguf q8_0|f16 OUT.gguf

Metadata is copied byte for byte; vectors stay as they are. The file is written aside, compared with the checksum known for SmolLM2, and renamed.
"""
import hashlib
import os
import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize

KNOWN = {  # of what models/SmolLM2-135M-Instruct.Q4_1.gguf becomes
    "q8_0": "4a197789e71f16d2a0c228684e98def3218e2e324488a5414d46605bf849023d",
    "f16": "125c1a229f56c08ef0aa44a8c9b2fa2bb6a81f469cf20dc3adbe30d22d3f3ac2",
}


def main() -> None:
    source, name, target = sys.argv[1:]
    reader, kind = GGUFReader(source), GGMLQuantizationType[name.upper()]
    infos, blobs, at = b"", [], 0
    for t in reader.tensors:
        if len(t.shape) == 1:
            kept, data = t.tensor_type, t.data.tobytes()
        else:
            x = dequantize(t.data, t.tensor_type)
            kept, data = kind, (x.astype(np.float16) if name == "f16" else quantize(x, kind)).tobytes()
        text = t.name.encode()
        infos += struct.pack("<Q", len(text)) + text + struct.pack("<I", len(t.shape))
        infos += b"".join(struct.pack("<Q", int(n)) for n in t.shape) + struct.pack("<IQ", kept.value, at)
        data += bytes(-len(data) % reader.alignment)
        blobs.append(data)
        at += len(data)
    with open(source, "rb") as f:
        head = f.read(reader.tensors[0].field.offset) + infos
    head += bytes(-len(head) % reader.alignment)
    digest = hashlib.sha256()
    with open(target + ".part", "wb") as f:
        for piece in [head] + blobs:
            digest.update(piece)
            f.write(piece)
    if digest.hexdigest() != KNOWN[name]:
        os.remove(target + ".part")
        sys.exit(f"requantize: {target} would have checksum {digest.hexdigest()}, expected {KNOWN[name]}")
    os.replace(target + ".part", target)


if __name__ == "__main__":
    main()
