"""How large a thing may be that cortico reads. All such numbers stand here; docs/specs.md lists them.

A file is measured before it is parsed, so that a small or broken one is refused at once, and not after
it has filled the memory. The limits are far beyond what attention needs.
"""

from __future__ import annotations

#: Bytes of a spec file; a spec with every field set has under a thousand.
SPEC_BYTES = 2**15
#: Bytes of JSON: config.json, an index of shards, the header of a safetensors file.
JSON_BYTES = 2**24
#: Bytes of a tokenizer.json; one of a quarter of a million words has 20 MB.
TOKENIZER_BYTES = 2**26
#: Bytes of a circuit's text. Three thousand populations have a third of that.
TEXT_BYTES = 2**20
#: Bytes that the compressed arrays of an .npz file may unpack to; arrays that are not compressed are
#: as large as their file.
UNPACKED_BYTES = 2**29
#: Members of an .npz file.
MEMBERS = 2**10

#: The size of an axis, or an offset of a bound, is below this: such numbers fit in 64 bits.
SIZE = 2**62
#: Digits of such a number.
DIGITS = 18
#: A size of a model in config.json is below this.
MODEL_SIZE = 2**24
#: Numbers of a position bias that is made from a table by distance: heads · tokens².
TABLE_NUMBERS = 2**28
#: Axes that an array may have: neurons or synapses of one kind, or a tensor. NumPy ends at 64.
AXES = 24
#: Compartments of a population.
COMPARTMENTS = 64
#: A delay is at most so many ms, or steps: each is kept by whoever hears it.
LONGEST_DELAY = 10_000
#: The exponent of a size in a gain is at most this, and so is its denominator.
EXPONENT = 16

#: Populations, and projections, of a circuit that is drawn.
DRAWN_POPULATIONS, DRAWN_PROJECTIONS = 300, 1000

#: Nodes of an ONNX graph, its functions written out.
GRAPH_NODES = 2**17
#: Numbers that a part of an ONNX graph may make while it is measured.
GRAPH_NUMBERS = 2**26
#: Products that one of its Einsums may take.
GRAPH_PRODUCTS = 2**31

#: Problems that one error lists, and the characters that its text has.
LISTED, ERROR_CHARACTERS = 20, 2000
#: Characters of a value, or of a name that is compared with known ones, in an error.
SHOWN_CHARACTERS = 60

#: Tensors, and keys, that a GGUF file may have; the texts in its lists; the bytes of a name.
GGUF_TENSORS, GGUF_KEYS, GGUF_TEXTS, GGUF_NAME_BYTES = 2**15, 2**14, 2**22, 2**16
