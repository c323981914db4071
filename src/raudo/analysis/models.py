"""Models by name: loaded once in a process, at first use."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from raudo.errors import MissingExtra

__all__ = ["Embedder", "Encode", "Model", "load_model", "version_of"]

Encode = Callable[[list[str]], Any]
WORDLLAMA = "wordllama"


class Model(Protocol):
    """What sentence-transformers models look like from here."""

    def encode(self, sentences: list[str]) -> Any: ...


Embedder = str | Encode | Model

_loaded: dict[str, Encode] = {}
_lock = threading.Lock()


def version_of(name: str) -> str:
    """Return what tells this model's vectors from those of another, or of a later release."""
    if name != WORDLLAMA:
        return f"sentence-transformers/{name}"
    from importlib import metadata  # loads the email package

    try:
        return f"wordllama/{metadata.version('wordllama')}"
    except metadata.PackageNotFoundError:
        return "wordllama/none"


def load_model(name: str) -> Encode:
    """Return the function of a model; the first call loads it, however many threads ask.

    Raises:
        MissingExtra: Its library is not installed.
    """
    with _lock:
        if name not in _loaded:
            _loaded[name] = _wordllama() if name == WORDLLAMA else _sentence_transformer(name)
        return _loaded[name]


def _wordllama() -> Encode:
    try:
        wordllama = importlib.import_module("wordllama")
    except ImportError as error:
        raise MissingExtra("embedder='wordllama'", "wordllama") from error
    # Weights and tokenizer are in the package: nothing is fetched.
    folder = Path(str(wordllama.__file__)).parent
    encode: Encode = wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embed
    return encode


def _sentence_transformer(name: str) -> Encode:
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError as error:
        raise MissingExtra(
            f"embedder={name!r} (a sentence-transformers model)", "models"
        ) from error
    encode: Encode = library.SentenceTransformer(name).encode
    return encode
