"""Re-checks a certificate with other code than made it: only Python, NumPy and this folder.

    python -m cortico.verify.recheck certificate.json

Circuits are read from their text, made small (sizes, and distances of tokens), and evaluated on random
tensors, exactly modulo primes p = 2q + 1 near 2**61, exp(a) as g^a with a modulo q. Random numbers come
from the SHA-256 of the certificate: nobody can choose them. Checked are the hashes of files, the first
circuit against attention from its formulas, every step, and that each begins where the last ended.
Numbers of weights, such as the frequencies of rotary embedding, are not in a certificate.
"""

from cortico.verify.recheck.certificate import examine, main, recheck

__all__ = ["examine", "main", "recheck"]
