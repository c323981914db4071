/* Rings of nodes: an order of eviction; and a ring of such rings by use count, for the least often used.
 *
 * "An O(1) algorithm for implementing the LFU cache eviction scheme" (Shah, Mitra, Matani, 2010): the
 * nodes of one use count form a group, and the groups a ring in ascending order, whose root has count 0.
 * Links are owned by the nodes they lie in, groups by the ring.
 */
#ifndef RAUDO_RING_H
#define RAUDO_RING_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A place in a ring; the root of a ring has no node. */
typedef struct raudo_link {
    struct raudo_link *prev, *next;
    void *node;
} raudo_link;

/* The nodes of one use count, used longest ago first. */
typedef struct raudo_group {
    raudo_link nodes;
    uint64_t n_uses;
    struct raudo_group *below, *above;
} raudo_group;

static inline void raudo_ring_reset(raudo_link *root) {
    root->prev = root->next = root;
    root->node = NULL;
}

static inline void raudo_ring_append(raudo_link *root, raudo_link *link) {
    link->next = root;
    link->prev = root->prev;
    root->prev->next = link;
    root->prev = link;
}

static inline void raudo_ring_remove(raudo_link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static inline void raudo_ring_move_to_end(raudo_link *root, raudo_link *link) {
    raudo_ring_remove(link);
    raudo_ring_append(root, link);
}

static inline void raudo_groups_reset(raudo_group *root) {
    root->below = root->above = root;
    root->n_uses = 0;
}

static inline void raudo_group_drop(raudo_group *group) {
    group->below->above = group->above;
    group->above->below = group->below;
    free(group);
}

static inline void raudo_groups_drop(raudo_group *root) {
    while (root->above != root) raudo_group_drop(root->above);
}

/* The group of a use count that belongs right above `below`, made where it is not there; NULL: no memory. */
static inline raudo_group *raudo_group_above(raudo_group *below, raudo_group *root, uint64_t n_uses) {
    if (below->above != root && below->above->n_uses == n_uses) return below->above;
    raudo_group *group = malloc(sizeof *group);
    if (group == NULL) return NULL;
    raudo_ring_reset(&group->nodes);
    group->n_uses = n_uses;
    group->below = below;
    group->above = below->above;
    below->above->below = group;
    below->above = group;
    return group;
}

/* Take a link out of its group, which goes where nothing is left in it. */
static inline void raudo_group_leave(raudo_group *group, raudo_link *link) {
    raudo_ring_remove(link);
    if (group->nodes.next == &group->nodes) raudo_group_drop(group);
}

/* Move a link from its group to the end of another, or of the same. */
static inline void raudo_group_move(raudo_group **of, raudo_link *link, raudo_group *to) {
    raudo_group *group = *of;
    raudo_ring_move_to_end(&to->nodes, link);
    *of = to;
    if (group->nodes.next == &group->nodes) raudo_group_drop(group);
}

/* Count a use of the link's node. 0 on success, -1 where memory ran out and nothing is changed. */
static inline int raudo_group_count(raudo_group **of, raudo_link *link, raudo_group *root) {
    raudo_group *group = *of, *above = group->above;
    const uint64_t n_uses = group->n_uses + 1;
    if (link->next == link->prev && (above == root || above->n_uses != n_uses)) {
        group->n_uses = n_uses; /* alone: the group itself moves up */
        return 0;
    }
    above = raudo_group_above(group, root, n_uses);
    if (above == NULL) return -1;
    raudo_group_move(of, link, above);
    return 0;
}

#endif
