"""Nested data of built-in types, and what tells two of them apart."""

from __future__ import annotations

from hypothesis import strategies as st

from raudo.memory import Numbers, Records
from raudo.memory.folded import Folded, Record


def spell(obj):
    """Return what tells objects apart that `==` does not: types, -0.0, NaN, order."""
    kind = {Record: "dict", Records: "list", Numbers: "list"}.get(type(obj), type(obj).__name__)
    if isinstance(obj, dict):
        return kind, [(spell(k), spell(v)) for k, v in obj.items()]
    if isinstance(obj, (set, frozenset)):
        return kind, sorted(repr(spell(each)) for each in obj)
    if isinstance(obj, (list, tuple, Folded)):
        return kind, [spell(each) for each in obj]
    return kind, repr(obj)


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.complex_numbers()
    | st.text("ab", max_size=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
anything = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(hashable, inner, max_size=5)
        | st.sets(hashable, max_size=5)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=25,
)
