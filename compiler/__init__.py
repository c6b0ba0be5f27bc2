"""cortico: a compiler from multihead attention to cortico-thalamic circuits."""
