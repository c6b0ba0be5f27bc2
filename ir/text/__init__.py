"""The text form of a circuit: what is printed parses to an equal circuit.

One declaration a line, compartments indented under their population, `#` starts a comment. Numbers
of parameters are not in the text: `stored float32` says that they lie in a safetensors file beside
it. No pickle, no evaluation of anything.
"""

from cortico.ir.text.files import load_circuit, save_circuit
from cortico.ir.text.parser import parse_circuit
from cortico.ir.text.printer import print_circuit

__all__ = ["load_circuit", "parse_circuit", "print_circuit", "save_circuit"]
