"""Learning: circuits with error neurons and a plasticity rule for every synapse.

learning = differentiate(circuit)
gradient_circuit(learning)        # an ordinary circuit whose outputs are the gradients
locality(learning)                # where each rule finds what it needs
"""

from cortico.learning.differentiate import differentiate
from cortico.learning.feedback import draw_feedback, feedback_of, with_values
from cortico.learning.gradients import gradient_circuit
from cortico.learning.locality import RuleLocality, Timing, locality
from cortico.learning.loss import SquaredError
from cortico.learning.rules import ErrorNeurons, Feedback, Learning, Rule, Term
from cortico.learning.untied import copies, untie, untied_values

__all__ = [
    "ErrorNeurons",
    "Feedback",
    "Learning",
    "Rule",
    "RuleLocality",
    "SquaredError",
    "Term",
    "Timing",
    "copies",
    "differentiate",
    "draw_feedback",
    "feedback_of",
    "gradient_circuit",
    "locality",
    "untie",
    "untied_values",
    "with_values",
]
