"""Four loops that live in time, and what each does; delays are those of `cortico.ir.conduction`.

python examples/loops.py
"""

from __future__ import annotations

import numpy as np

from cortico import Circuit
from cortico.backends.trajectory import Trajectory, run_in_time
from cortico.ir.text import parse_circuit

#: Core cells excite reticular ones, which take the same from all core cells: the mean of what they fire, times 0.4.
RETICULAR = parse_circuit("""cortico circuit 1
name "reticular loop"

axis m : model n
axis k : model n

input x (n)

population core [m] thalamus.core relay relu
  driver multiplies x[m]
population reticular [k] thalamus.reticular reticular relu
  soma multiplies

projection up core -> reticular.soma weight 0.5 * size(m)^-1 delay 0.6 ms
projection down reticular -> core.driver weight -0.8 * size(k)^-1 delay 1.0 ms

output y = core[m]
""")

#: Layer 6 multiplies what drives a relay: its rate is x (1 + tanh(…) / 2).
LAYER6 = parse_circuit("""cortico circuit 1
name "corticothalamic gain"

axis m : model n

input x (n)

population relay [m] thalamus.core relay
  driver multiplies x[m]
  modulator multiplies 1.0
population granular [m] cortex.L4 stellate relu
  basal multiplies
population deep [m] cortex.L6 pyramidal_ct tanh
  basal multiplies

projection thalamocortical relay -> granular.basal weight 1.0 delay 0.8 ms
projection local granular -> deep.basal weight 0.7 delay 1.5 ms
projection gain deep -> relay.modulator weight 0.5 delay 11.0 ms

output y = relay[m]
""")

#: Superficial cells that excite themselves have two rates at which they rest: a cue lifts one of them.
MEMORY = parse_circuit("""cortico circuit 1
name "memory over a delay"

axis m : feature n

input x (n)

population superficial [m] cortex.L2/3 pyramidal_it sigmoid
  basal multiplies 8.0 * x[m] + -4.0

projection recurrent superficial -> superficial.basal weight 8.0 delay 1.5 ms

output y = superficial[m]
""")

#: An excitatory and an inhibitory population, each at half its largest rate when nothing moves.
PAIR = """cortico circuit 1
name "excitation and inhibition"

axis m : feature 1

input x (1)

population excitatory [m] cortex.L4 stellate sigmoid
  basal multiplies x[m] + {drive}
population inhibitory [m] cortex.L4 pv sigmoid
  soma multiplies -{down}

projection own excitatory -> excitatory.basal weight 2.0 delay 1.5 ms
projection onto excitatory -> inhibitory.soma weight {strength} delay 1.5 ms
projection back inhibitory -> excitatory.basal weight -{strength} delay 0.8 ms

output y = excitatory[m]
"""


def pair(strength: float) -> Circuit:
    """The excitatory-inhibitory pair, with this weight from one to the other."""
    return parse_circuit(
        PAIR.format(drive=strength / 2 - 1.0, down=strength / 2, strength=strength)
    )


def remembered() -> Trajectory:
    """A cue of 50 ms for the first of two cells, and 500 ms without one."""
    cue = np.zeros((11, 2))
    cue[0, 0] = 1.0
    return run_in_time(MEMORY, {"x": cue}, token_ms=50.0)


def main() -> None:
    """Run each and say how it ends."""
    ran = run_in_time(RETICULAR, {"x": [1.0, 2.0, 3.0]}, duration=600.0)
    print(f"reticular loop: {ran.told}, core cells at {np.round(ran.outputs['y'][-1], 4)}")
    ran = run_in_time(LAYER6, {"x": [0.5, 1.0]}, duration=600.0)
    print(f"corticothalamic gain: {ran.told}, relays at {np.round(ran.outputs['y'][-1], 4)}")
    ran = remembered()
    print(f"memory: {ran.told}, cells at {np.round(ran.outputs['y'][-1], 4)}")
    ran = run_in_time(pair(14.0), {"x": [0.0]}, start={"excitatory": 0.6}, duration=400.0)
    print(f"excitation and inhibition: {ran.told}")


if __name__ == "__main__":
    main()
