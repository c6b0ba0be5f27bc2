COMMENT
A synapse that acts all the time: the current w * r into the postsynaptic compartment, where r is the
presynaptic rate. ParallelContext.target_var brings r, from this process or another, at every step.
ENDCOMMENT

NEURON {
    POINT_PROCESS RateSynapse
    THREADSAFE
    RANGE r, w
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
}

ASSIGNED {
    i (nA)
}

BREAKPOINT {
    i = -w * r
}
