// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The memory under the oracle's XArray.
 *
 * The harness's own linux.c refuses every GFP_NOWAIT allocation and keeps
 * no exact totals, so this file takes its place. Single-threaded by design.
 *
 * Two forms. With sanitizers (the default) every node is malloc()ed and
 * free()d, so that AddressSanitizer sees a node used after its grace
 * period. With -DORACLE_FAST freed nodes are kept constructed on a list and
 * reused, which is what the kernel's slab does and what a timing should see.
 *
 * call_rcu() only queues. <urcu.h> renames it to its flavour's symbol and
 * the definition here goes before the shared library's.
 */
#include <assert.h>
#include <stdlib.h>

#include <linux/slab.h>
#include <linux/xarray.h>

#include "oracle.h"

struct kmem_cache {
	size_t size;
	void (*ctor)(void *object);
	struct xa_node *idle;	/* constructed nodes, linked by their parent field */
};

struct node_counts node_counts;
int kmalloc_verbose;		/* radix-tree.h's tracing reads it */

static struct {
	unsigned long countdown;	/* attempts until the first failure; 0: disarmed */
	unsigned long failures;		/* failures still to come once it is there */
} injection;

static struct {
	unsigned long left;		/* that are handed out before more() is called */
	void (*more)(void);		/* NULL: nodes are real */
	struct xa_node *node;
} phantom;

static struct cds_wfcq_node *rcu_queue;	/* linked by rcu_head.next, newest first */

void shim_reset(void)
{
	node_counts = (struct node_counts){ 0 };
	shim_fail_after(0, 0);
}

void shim_fail_after(unsigned long n, unsigned long k)
{
	injection.countdown = k ? n : 0;
	injection.failures = k;
}

void shim_phantom(unsigned long n, void (*more)(void))
{
	phantom.left = n;
	phantom.more = more;
}

static bool attempt_fails(void)
{
	if (!injection.countdown)
		return false;
	if (injection.countdown > 1) {
		injection.countdown--;
		return false;
	}
	if (--injection.failures == 0)
		injection.countdown = 0;
	return true;
}

struct kmem_cache *kmem_cache_create(const char *name, unsigned int size,
				     unsigned int align, unsigned int flags,
				     void (*ctor)(void *object))
{
	struct kmem_cache *cache = calloc(1, sizeof(*cache));

	(void)name;
	(void)align;
	(void)flags;
	assert(cache && size == sizeof(struct xa_node));
	cache->size = size;
	cache->ctor = ctor;
	return cache;
}

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, int gfp)
{
	struct xa_node *node;

	(void)lru;
	(void)gfp;
	if (attempt_fails())
		return NULL;
	if (phantom.more) {
		if (!phantom.left--)
			phantom.more();
		phantom.node = phantom.node ? phantom.node : aligned_alloc(64, cache->size);
		return phantom.node;
	}
	node = cache->idle;
	if (node) {
		cache->idle = node->parent;
		node->parent = NULL;
	} else {
		node = aligned_alloc(64, cache->size);
		assert(node);
		cache->ctor(node);
	}
	node_counts.allocs++;
	return node;
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	node_counts.frees++;
#ifdef ORACLE_FAST
	struct xa_node *node = object;

	node->parent = cache->idle;
	cache->idle = node;
#else
	(void)cache;
	free(object);
#endif
}

void call_rcu(struct rcu_head *head, void (*callback)(struct rcu_head *head))
{
	head->func = callback;
	head->next.next = rcu_queue;
	rcu_queue = &head->next;
}

void shim_rcu_flush(void)
{
	while (rcu_queue) {
		struct rcu_head *head = container_of(rcu_queue, struct rcu_head, next);

		rcu_queue = rcu_queue->next;
		head->func(head);
	}
}
