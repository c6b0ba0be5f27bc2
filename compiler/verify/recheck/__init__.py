"""Re-checks a certificate with other code than made it: only Python, NumPy and this folder.

    python -m cortico.verify.recheck certificate.json

Circuits are read from their text, made small (sizes, and distances of tokens), and evaluated on random
tensors, exactly modulo primes p = 2q + 1 near 2**61, exp(a) as g^a with a modulo q. Random numbers are
drawn anew each time. Checked are the first circuit against attention from its formulas, every step, that
each begins where the last ended, that the files beside say the same, and facts about numbers on the
arrays that are here. What was not looked at is listed as such.
"""

from cortico.verify.recheck.certificate import examine, main, recheck
from cortico.verify.recheck.forms import printable, read_json

__all__ = ["examine", "main", "printable", "read_json", "recheck"]
