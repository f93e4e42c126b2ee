// SPDX-License-Identifier: GPL-2.0-or-later
/* Operations of the trace format that take several kernel calls, and dumps. */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/list.h>
#include <linux/xarray.h>

#include "oracle.h"

#define POINTER_STEP 16UL	/* pointer number N is the address (N + 1) * 16: aligned, never NULL */

static struct list_head value_nodes = LIST_HEAD_INIT(value_nodes);
static unsigned long listed;
static xa_update_node_t watcher;

/* As workingset_update_node() of mm/workingset.c does. */
static void update(struct xa_node *node)
{
	if (node->count && node->count == node->nr_values) {
		if (list_empty(&node->private_list)) {
			list_add(&node->private_list, &value_nodes);
			listed++;
		}
	} else if (!list_empty(&node->private_list)) {
		list_del_init(&node->private_list);
		listed--;
	}
}

void tree_watch(void)
{
	watcher = update;
}

void tree_unwatch(void)
{
	watcher = NULL;
	while (!list_empty(&value_nodes))
		list_del_init(value_nodes.next);
	listed = 0;
}

bool tree_watched(void)
{
	return watcher;
}

unsigned long tree_listed(void)
{
	return listed;
}

void *tree_store(struct xarray *xa, unsigned long index, void *entry)
{
	XA_STATE(xas, xa, index);
	void *old;

	xas_set_update(&xas, watcher);
	do {
		xas_lock(&xas);
		old = xas_store(&xas, entry);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));
	return xas_error(&xas) ? XA_ERROR(xas_error(&xas)) : old;
}

int tree_store_order(struct xarray *xa, unsigned long index, unsigned int order, void *entry)
{
	XA_STATE_ORDER(xas, xa, index, order);

	xas_set_update(&xas, watcher);
	do {
		xas_lock(&xas);
		xas_store(&xas, entry);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));
	return xas_error(&xas);
}

struct split_result tree_split(struct xarray *xa, unsigned long index, unsigned int old_order,
			       unsigned int new_order, void *entry)
{
	XA_STATE_ORDER(xas, xa, index, new_order);
	struct node_counts before = node_counts;
	struct split_result result = { 0 };

	xas_set_update(&xas, watcher);
	xas_split_alloc(&xas, entry, old_order, GFP_KERNEL);
	result.error = xas_error(&xas);
	result.alloc.allocs = node_counts.allocs - before.allocs;
	result.alloc.frees = node_counts.frees - before.frees;
	if (result.error)
		return result;

	xas_lock(&xas);
	xas_split(&xas, entry, old_order);
	xas_unlock(&xas);
	xas_destroy(&xas);
	result.unused = node_counts.frees - before.frees;
	return result;
}

bool tree_has_try_split(void)
{
#ifdef ORACLE_TRY_SPLIT
	return true;
#else
	return false;
#endif
}

struct split_result tree_try_split(struct xarray *xa, unsigned long index, unsigned int old_order,
				   unsigned int new_order, void *entry)
{
	struct split_result result = { .error = -EOPNOTSUPP };
#ifdef ORACLE_TRY_SPLIT
	XA_STATE_ORDER(xas, xa, index, new_order);
	struct node_counts before = node_counts;

	xas_set_update(&xas, watcher);
	xas_lock(&xas);
	xas_try_split(&xas, entry, old_order);
	xas_unlock(&xas);
	result.error = xas_error(&xas);
	xas_destroy(&xas);
	result.alloc.allocs = node_counts.allocs - before.allocs;
	result.unused = node_counts.frees - before.frees;
#else
	(void)xa;
	(void)index;
	(void)old_order;
	(void)new_order;
	(void)entry;
#endif
	return result;
}

/* Exits with 0 if a split across so many levels builds the right tree. */
static void __attribute__((noreturn)) try_levels(unsigned int levels)
{
	/* Ends and middles of a level: one node above, one slot or several, one entry a slot or several. */
	static const unsigned int above[] = { 0, 0, 3, 5 }, below[] = { 0, 3, 0, 5 };
	unsigned int i;

	for (i = 0; i < sizeof(above) / sizeof(*above); i++) {
		unsigned int order = levels * XA_CHUNK_SHIFT + above[i], new_order = below[i], level;
		unsigned long nodes = 0, index;
		struct split_result split;
		struct xarray xa;

		xa_init(&xa);
		shim_reset();
		tree_store_order(&xa, 1UL << order, order, pointer_entry(1));
		split = tree_split(&xa, 1UL << order, order, new_order, pointer_entry(2));
		for (level = 0; level < levels; level++)
			nodes += 1UL << (above[i] + level * XA_CHUNK_SHIFT);
		if (split.error || split.alloc.allocs != nodes || split.unused)
			_exit(1);
		for (index = 1UL << order; index < 2UL << order; index += (1UL << new_order))
			if (xa_load(&xa, index) != pointer_entry(2) ||
			    xa_get_order(&xa, index) != (int)new_order)
				_exit(1);
		xa_destroy(&xa);
		shim_rcu_flush();
		if (node_counts.allocs != node_counts.frees)
			_exit(1);
	}
	_exit(0);
}

unsigned int tree_split_levels(void)
{
	unsigned int levels;

	for (levels = 1; levels < 3; levels++) {
		int status;
		pid_t child;

		fflush(stdout);
		child = fork();
		assert(child >= 0);
		if (!child) {
			if (!freopen("/dev/null", "w", stderr))	/* what it warns of is expected */
				_exit(1);
			try_levels(levels + 1);
		}
		if (waitpid(child, &status, 0) != child || status)
			break;
	}
	return levels;
}

bool tree_has_entry(struct xarray *xa, unsigned long index, unsigned int old_order,
		    unsigned int new_order)
{
	unsigned int level = old_order / XA_CHUNK_SHIFT;
	unsigned int slots = 1, end;
	XA_STATE(xas, xa, index);
	void *entry;

	if (new_order > old_order)
		return false;
	entry = xas_load(&xas);
	if (!entry || xa_is_zero(entry) || !xas.xa_node)
		return false;
	for (end = xas.xa_offset + 1; end < XA_CHUNK_SIZE; end++, slots++)
		if (xas.xa_node->slots[end] != xa_mk_sibling(xas.xa_offset))
			break;
	return xas.xa_node->shift == level * XA_CHUNK_SHIFT &&
	       slots == 1U << (old_order % XA_CHUNK_SHIFT) &&
	       (index & ((XA_CHUNK_SIZE << xas.xa_node->shift) - 1)) ==
	       (unsigned long)xas.xa_offset << xas.xa_node->shift;
}

void *tree_entry(struct xarray *xa, unsigned long index)
{
	XA_STATE(xas, xa, index);

	return xas_load(&xas);
}

void *pointer_entry(unsigned long number)
{
	return (void *)((number + 1) * POINTER_STEP);
}

void text_clear(struct text *text)
{
	text->length = 0;
	if (text->data)
		text->data[0] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args;
	int written;

	for (;;) {
		size_t left = text->room - text->length;

		va_start(args, format);
		written = vsnprintf(text->data ? text->data + text->length : NULL, left, format, args);
		va_end(args);
		assert(written >= 0);
		if ((size_t)written < left)
			break;
		text->room = 2 * text->room + (size_t)written + 256;
		text->data = realloc(text->data, text->room);
		assert(text->data);
	}
	text->length += (size_t)written;
}

void text_entry(struct text *text, const void *entry)
{
	if (!entry)
		text_printf(text, "0");
	else if (xa_is_value(entry))
		text_printf(text, "v%lu", xa_to_value(entry));
	else if (xa_is_sibling(entry))
		text_printf(text, "s%lu", xa_to_sibling(entry));
	else if (xa_is_retry(entry))
		text_printf(text, "r");
	else if (xa_is_zero(entry))
		text_printf(text, "z");
	else if (xa_is_err(entry))
		text_printf(text, "err %d", xa_err((void *)entry));
	else if (xa_is_node(entry))
		text_printf(text, "n");
	else if (xa_is_internal(entry))
		text_printf(text, "x%lx", xa_to_internal(entry));
	else
		text_printf(text, "p%lu", (unsigned long)entry / POINTER_STEP - 1);
}

/* Two slots whose tokens have the same text: the same entry, or any two nodes. */
static bool same_token(const void *a, const void *b)
{
	return a == b || (xa_is_node(a) && xa_is_node(b));
}

static void dump_slots(struct text *text, const struct xa_node *node)
{
	unsigned int slot, end;

	for (slot = 0; slot < XA_CHUNK_SIZE; slot = end) {
		end = slot + 1;
		if (!node->slots[slot])
			continue;
		while (end < XA_CHUNK_SIZE && same_token(node->slots[end], node->slots[slot]))
			end++;
		text_printf(text, " %u:", slot);
		text_entry(text, node->slots[slot]);
		if (end > slot + 1)
			text_printf(text, "*%u", end - slot);
	}
}

static void dump_node(struct text *text, const struct xarray *xa, const struct xa_node *node,
		      const struct xa_node *parent, unsigned int offset, unsigned int depth)
{
	unsigned int slot;

	text_printf(text, "N %u %u %u %u %u %lx %lx %lx :", depth, node->shift,
		    parent ? node->offset : 0, node->count, node->nr_values,
		    node->marks[0][0], node->marks[1][0], node->marks[2][0]);
	dump_slots(text, node);
	if (node->parent != parent)
		text_printf(text, " !PARENT");
	if (parent && node->offset != offset)
		text_printf(text, " !OFFSET");
	if (node->array != xa)
		text_printf(text, " !ARRAY");
	text_printf(text, "\n");
	for (slot = 0; node->shift && slot < XA_CHUNK_SIZE; slot++)
		if (xa_is_node(node->slots[slot]))
			dump_node(text, xa, xa_to_node(node->slots[slot]), node, slot, depth + 1);
}

void tree_dump(struct text *text, struct xarray *xa)
{
	void *head = xa->xa_head;

	text_printf(text, "X %d%d%d ", xa_marked(xa, XA_MARK_0), xa_marked(xa, XA_MARK_1),
		    xa_marked(xa, XA_MARK_2));
	text_entry(text, head);
	text_printf(text, "\n");
	if (xa_is_node(head))
		dump_node(text, xa, xa_to_node(head), NULL, 0, 0);
}

void tree_list(struct text *text, struct xarray *xa)
{
	XA_STATE(xas, xa, 0);
	void *entry;

	xas_for_each(&xas, entry, ULONG_MAX) {
		text_printf(text, "%lu %d ", xas.xa_index, xas_get_order(&xas));
		text_entry(text, entry);
		text_printf(text, " %d%d%d\n", xas_get_mark(&xas, XA_MARK_0),
			    xas_get_mark(&xas, XA_MARK_1), xas_get_mark(&xas, XA_MARK_2));
	}
}
