"""What the files of a compiled folder are called. Nothing is imported here: `--help` reads it."""

CIRCUIT = "circuit.cortico"  #: the text of a circuit; its arrays lie beside it
NETWORK = "network.cortico"  #: the text of a whole model
SPEC = "spec.json"
REPORT = "report.md"
CERTIFICATE = "certificate.json"  #: what was proved
