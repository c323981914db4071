"""What the tests of codecs share."""

import datetime as dt
from collections import OrderedDict, deque

from hypothesis import strategies as st

plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(allow_nan=False),
        st.text(st.characters()),
        st.binary(),
        st.binary().map(bytearray),
        st.decimals(allow_nan=False),
        st.fractions(),
        st.datetimes(timezones=st.sampled_from([None, dt.UTC])),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.uuids(),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.lists(inner).map(deque),
        st.dictionaries(st.text(), inner),
        st.dictionaries(st.text(), inner).map(OrderedDict),
        st.frozensets(st.integers()),
        st.sets(st.text()),
    ),
    max_leaves=12,
)
