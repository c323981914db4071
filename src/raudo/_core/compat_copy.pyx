# cython: binding=False
"""What copies and pickles of the stand-in caches hold.

Flat lists, so that no depth of recursion depends on the size; orders are places in the list of entries.
"""

from libc.stdint cimport uint64_t

from raudo._core.compat cimport (
    LFU, RR, Group, Link, Node, Plain, group_above, group_move, ring_move_to_end
)
from raudo._core.compat_timed cimport Timed, TimedNode, Timer, expiry_of

import copy
from operator import index


def snapshot(Plain cache not None):
    """Return all that makes a cache but its attributes."""
    cdef Node node
    cdef Group *group
    cdef list order = [], ages = []
    cdef list nodes = list(cache.data.values())
    cdef Timed timed = <Timed>cache if isinstance(cache, Timed) else None
    # From here to the end of the loops nothing is made that could start a garbage collection.
    if cache.kind == RR:
        order += cache.nodes
    elif cache.kind == LFU:
        group = cache.groups.above
        while group != &cache.groups:
            append_ring(order, &group.nodes)
            group = group.above
    else:
        append_ring(order, &cache.uses)
    if timed is not None:
        append_ring(ages, &timed.ages)
    places = {node: place for place, node in enumerate(nodes)}
    return (
        cache.bound,
        cache.is_sized,
        cache.setting,
        None if timed is None else timed.clock,
        [
            (
                node.key,
                node.value,
                node.size,
                node.group.n_uses if cache.kind == LFU and node.is_live else 0,
                None if timed is None else expiry_of(<TimedNode>node),
            )
            for node in nodes
        ],
        [places[node] for node in order if node in places],
        [places[node] for node in ages if node in places],
    )


cdef int append_ring(list nodes, Link *root) except -1:
    cdef Link *link = root.next
    while link != root:
        nodes.append(<Node>link.node)
        link = link.next
    return 0


def restore(Plain cache not None, tuple state not None):
    """Make a cache what `snapshot` returned.

    The state may come from anywhere. ValueError where it is none; the cache is then empty, or holds a part.
    """
    cdef Node node
    cdef Timed timed = <Timed>cache if isinstance(cache, Timed) else None
    cdef list nodes = []
    bound, is_sized, setting, timer, entries, order, ages = state
    if timed is not None and type(timer) is not Timer:
        raise ValueError(f"state: wanted a Timer of a cache whose items expire, got {timer!r}")
    entries = list(entries)
    order, ages = places_in(order, len(entries)), places_in(ages, len(entries))
    cache.empty()
    cache.configure(bound, is_sized, setting)
    if timed is not None:
        timed.clock = copy.copy(timer)
    for key, value, size, _, expires in entries:
        node = cache.add(key, value, size)
        if node is not None:
            if is_sized:
                cache.add_size(size)
            if timed is not None:
                timed.set_expiry(<TimedNode>node, expires)
        nodes.append(node)
    # So far they are in the order of insertion.
    for place in order:
        node = nodes[place]
        if node is None or not node.is_live:
            continue
        if cache.kind == LFU:
            count_as(cache, node, entries[place][3])
        elif cache.kind != RR:
            ring_move_to_end(&cache.uses, &node.use)
    for place in ages:
        node = nodes[place]
        if timed is not None and node is not None and node.is_live:
            timed.renew(<TimedNode>node)
    if cache.kind == RR:
        rank(cache, [nodes[place] for place in order if is_there(nodes[place])])


cdef list places_in(object places, Py_ssize_t n_entries):
    """Check that they are places in the list of entries, each once."""
    found = [index(place) for place in places]
    if len(set(found)) < len(found) or any([not 0 <= place < n_entries for place in found]):
        raise ValueError(f"state: wanted different places in [0, {n_entries}), got {found!r}")
    return found


cdef int rank(Plain cache, list nodes) except -1:
    """Bring the nodes of a random cache into that order; it must be of them all."""
    cdef Py_ssize_t place
    cdef list keys = [(<Node>each).key for each in nodes]
    # From here on nothing is made that could start a garbage collection, and so change the cache.
    if len(nodes) != len(cache.nodes) or not all_live(nodes):
        raise ValueError(f"state: wanted an order of {len(cache.nodes)} entries, got {len(nodes)}")
    cache.nodes, cache.keys = nodes, keys
    for place in range(len(nodes)):
        (<Node>nodes[place]).rank = place
    return 0


cdef bint all_live(list nodes) noexcept:
    cdef Py_ssize_t place
    for place in range(len(nodes)):
        if not (<Node>nodes[place]).is_live:
            return False
    return True


cdef bint is_there(Node node):
    return node is not None and node.is_live


cdef int count_as(Plain cache, Node node, uint64_t n_uses) except -1:
    """Move a node to the group of so many uses, the highest so far or above it."""
    cdef Group *group = cache.groups.below
    if group.n_uses < n_uses:
        group = group_above(group, &cache.groups, n_uses)
        if group == NULL:
            raise MemoryError
    group_move(&node.group, &node.use, group)
    return 0
