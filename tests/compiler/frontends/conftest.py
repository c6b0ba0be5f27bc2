"""Helpers that write broken checkpoints."""

import json

import pytest


@pytest.fixture
def write_header():
    """A function that writes a safetensors file with any header, honest or not."""

    def write(path, header, data=b""):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
        return path

    return write
