"""What the transfer functions are, by mpmath, and where they are looked at."""

import mpmath
import numpy as np
import pytest
import scipy.special

from cortico.ir import TRANSFERS

#: What the functions are, by a library that has nothing to do with the table.
MPMATH = {
    "identity": lambda x: x,
    "exp": mpmath.exp,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "tanh": mpmath.tanh,
    "sqrt": mpmath.sqrt,
    "erf": mpmath.erf,
    "sigmoid": lambda x: mpmath.mpf(scipy.special.expit(float(x))),
    "gaussian": lambda x: mpmath.exp(-x * x),
    "log": lambda x: mpmath.log(x) if x > 0 else mpmath.mpf("-inf" if x == 0 else "nan"),
    "softplus": lambda x: -mpmath.mpf(scipy.special.log_expit(-float(x))),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu_tanh": lambda x: (
        x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + x**3 * 44715 / 10**6)))
    ),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "relu_squared": lambda x: max(x, mpmath.mpf(0)) ** 2,
}

#: Of which libraries add 1 and what is nearly -1, below 0.
CANCELLING = {"gelu", "gelu_tanh"}

#: With a lowest rate somewhere between, and a steepest slope.
BENT = CANCELLING | {"silu"}

#: Defined for positive arguments only.
HALF_LINE = {"sqrt", "log"}

#: Where 1000 is beyond what a float holds, or not in the domain.
LOUD = {"exp", *HALF_LINE}

every_function = pytest.mark.parametrize("name", TRANSFERS)


def points(name, largest=6.0, count=241):
    """Numbers of both signs, or positive ones."""
    return np.linspace(0.0 if name in HALF_LINE else -largest, largest, count)


def inside(name):
    """The same without zero, where some are not smooth."""
    return points(name)[points(name) != 0]


def expected(name, x):
    return np.array([float(MPMATH[name](mpmath.mpf(float(each)))) for each in x])


def agrees(found, name, x, rtol=1e-14, atol=1e-300):
    np.testing.assert_allclose(np.asarray(found), expected(name, x), rtol=rtol, atol=atol)
