"""`python -m cortico.verify.recheck certificate.json`."""

import sys

from cortico.verify.recheck import main

sys.exit(main(sys.argv[1:]))
