/* The ring of use counts against a plain array that knows each node's count and time of last use. */
#include <stdio.h>
#include <stdlib.h>

#include "table/ring.h"
#include "test/random.h"

#define NODES 60u

typedef struct {
    raudo_link link;
    raudo_group *group; /* NULL: not in the ring */
    uint64_t n_uses, used_at;
} node;

static int n_failed;

static void check(int ok, const char *what, uint64_t at)
{
    if (!ok && n_failed++ < 20) fprintf(stderr, "FAILED %s, at %llu\n", what, (unsigned long long)at);
}

/* Groups ascend, none is empty, and within one the nodes are in the order of their last use. */
static void check_ring(const raudo_group *root, size_t n_in, uint64_t at)
{
    size_t n_found = 0;
    uint64_t below = 0;
    for (const raudo_group *group = root->above; group != root; group = group->above) {
        check(group->n_uses > below, "groups ascend", at);
        check(group->above->below == group, "groups are linked both ways", at);
        check(group->nodes.next != &group->nodes, "no group is empty", at);
        below = group->n_uses;
        uint64_t last = 0;
        for (const raudo_link *link = group->nodes.next; link != &group->nodes; link = link->next) {
            const node *of = link->node;
            check(of->group == group && of->n_uses == group->n_uses, "uses", at);
            check(of->used_at > last, "order of use", at);
            last = of->used_at;
            n_found++;
        }
    }
    check(n_found == n_in, "number of nodes", at);
}

int main(void)
{
    static node nodes[NODES];
    raudo_group root;
    raudo_groups_reset(&root);
    size_t n_in = 0;
    for (uint64_t now = 1; now < 40000; now++) {
        node *one = &nodes[random_u32() % NODES];
        one->used_at = now;
        if (one->group == NULL) {
            raudo_group *first = raudo_group_above(&root, &root, 1);
            if (first == NULL) abort();
            one->link.node = one;
            one->group = first;
            one->n_uses = 1;
            raudo_ring_append(&first->nodes, &one->link);
            n_in++;
        } else if (random_u32() % 8 == 0) {
            raudo_group_leave(one->group, &one->link);
            one->group = NULL;
            n_in--;
        } else if (random_u32() % 8 == 0) {
            raudo_group_move(&one->group, &one->link, one->group); /* to the end of its own */
        } else {
            if (raudo_group_count(&one->group, &one->link, &root) < 0) abort();
            one->n_uses++;
        }
        check_ring(&root, n_in, now);
    }
    raudo_groups_drop(&root);
    check(root.above == &root && root.below == &root, "nothing is left", 0);
    if (n_failed) fprintf(stderr, "%d checks failed\n", n_failed);
    return n_failed != 0;
}
