"""Learning: circuits with error neurons and a plasticity rule for every synapse.

learning = differentiate(circuit)
gradient_circuit(learning)        # an ordinary circuit whose outputs are the gradients
"""

from cortico.learning.differentiate import differentiate
from cortico.learning.gradients import gradient_circuit
from cortico.learning.loss import SquaredError
from cortico.learning.rules import Learning, Rule, Term

__all__ = ["Learning", "Rule", "SquaredError", "Term", "differentiate", "gradient_circuit"]
