COMMENT
The membrane of a soma that multiplies what its dendrites sum, under shunting inhibition: it goes to

    v = f(a * b / d)        and v = f(0) where d is zero

a and b are the voltages of two dendrites, d the conductance that the dividing one opens, in units of the
leak's (g_leak). Before each step it sets conductance g and reversal e of the section's fastpas. With
f(x) = x and d >= 1 that is a plain shunt: g * (v - e) = g_leak * (d * v - a * b). The conductance never
falls below the leak's, so that no cell is slower than its membrane time constant. Before its onset the soma
goes to zero.
ENDCOMMENT

NEURON {
    SUFFIX dendritic_product
    THREADSAFE
    POINTER a, b, d, e, g
    RANGE g_leak, transfer, one, onset
}

UNITS {
    (mV) = (millivolt)
    (S) = (siemens)
}

PARAMETER {
    g_leak = 1e-4 (S/cm2)
    transfer = 0 : f is @NAMES@
    one = 1 (mV) : what a, b or d points at where the cell has no such dendrite
    onset = 0 (ms)
}

ASSIGNED {
    a (mV)
    b (mV)
    d (mV)
    e (mV)
    g (S/cm2)
}

BEFORE BREAKPOINT {
    g = g_leak * conductance(d)
    e = 0
    if (t >= onset) {
        e = f(quotient(a * b, d))
    }
}

FUNCTION conductance(d) {
    conductance = fabs(d)
    if (conductance < 1) {
        conductance = 1
    }
}

FUNCTION quotient(x, d) {
    quotient = 0
    if (d != 0) {
        quotient = x / d
    }
}

FUNCTION f(x) {
    f = x
@BRANCHES@
}
