"""Whether emitted files compute what their circuit means: run in every way that users call them."""
