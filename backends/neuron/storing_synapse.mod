COMMENT
A synapse that stores: while its gate is open it integrates w * r, where r is the presynaptic rate, and the current
into the postsynaptic compartment is what it has stored. The gate is the part of a presentation's worth that is
let in at a step; it is closed while 0. What is stored stays when voltages are initialised.
ParallelContext.target_var brings r, from this process or another, at every step.
ENDCOMMENT

NEURON {
    POINT_PROCESS StoringSynapse
    THREADSAFE
    RANGE r, w, gate, stored
    NONSPECIFIC_CURRENT i
}

UNITS {
    (nA) = (nanoamp)
    (mV) = (millivolt)
    (uS) = (microsiemens)
}

PARAMETER {
    r = 0 (mV)
    w = 0 (uS)
    gate = 0
}

ASSIGNED {
    i (nA)
    stored (nA)
}

BEFORE BREAKPOINT {
    stored = stored + gate * w * r
}

BREAKPOINT {
    i = -stored
}
