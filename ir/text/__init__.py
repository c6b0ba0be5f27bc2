"""The text form of circuits and networks: what is printed parses to an equal one.

One declaration a line, compartments indented under their population, `#` starts a comment. Numbers
of parameters are not in the text: `stored float32` says that they lie in a safetensors file beside
it. No pickle, no evaluation of anything.
"""

from cortico.ir.text.files import load_circuit, load_network, save_circuit, save_network
from cortico.ir.text.networks import parse_network, print_network
from cortico.ir.text.parser import parse_circuit
from cortico.ir.text.printer import print_circuit

__all__ = [
    "load_circuit",
    "load_network",
    "parse_circuit",
    "parse_network",
    "print_circuit",
    "print_network",
    "save_circuit",
    "save_network",
]
