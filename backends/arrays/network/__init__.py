"""Networks in any library of arrays: `file` is the emitted file, `running` what it is called with, `template` its helpers."""
