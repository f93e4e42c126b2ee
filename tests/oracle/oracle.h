/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of gmem-oracle share: shim.c, tree.c, driver.c, bench.c. */
#ifndef GMEM_ORACLE_H
#define GMEM_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct xarray;

/* shim.c: the memory under the kernel's code */

struct node_counts {
	unsigned long allocs;	/* nodes handed out */
	unsigned long frees;	/* nodes given back, grace period over */
};

extern struct node_counts node_counts;

/* Zero the counters and disarm the injection. */
void shim_reset(void);

/*
 * Fail allocation attempts n .. n + k - 1, counted from now and from 1,
 * failing attempts included; n = 0 disarms.
 */
void shim_fail_after(unsigned long n, unsigned long k);

/*
 * From now on hand out one and the same node again and again, and call more()
 * once n have been handed out; more = NULL ends this.
 */
void shim_phantom(unsigned long n, void (*more)(void));

/* Run every callback queued by call_rcu(): the end of a grace period. */
void shim_rcu_flush(void);

/* tree.c: operations built from several kernel calls, and looking inside */

struct split_result {
	int error;		/* 0 or -ENOMEM */
	struct node_counts alloc;	/* nodes got by, and given back within, xas_split_alloc() */
	unsigned long unused;	/* nodes that xas_destroy() gave back after the split */
};

/*
 * Whether operations have an update callback from now on: the one of
 * mm/workingset.c, which keeps a list of the nodes that hold nothing but
 * values.  Ends with tree_unwatch(), before an array is destroyed.
 */
void tree_watch(void);
void tree_unwatch(void);
bool tree_watched(void);

/* The nodes on that list. */
unsigned long tree_listed(void);

/* xas_store() of one index with GFP_KERNEL, the callback included: what was there, or an error entry. */
void *tree_store(struct xarray *xa, unsigned long index, void *entry);

/* xas_store() with GFP_KERNEL until it no longer wants memory: 0 or an errno. */
int tree_store_order(struct xarray *xa, unsigned long index, unsigned int order, void *entry);

/* xas_split_alloc() + xas_split() + xas_destroy(). */
struct split_result tree_split(struct xarray *xa, unsigned long index, unsigned int old_order,
			       unsigned int new_order, void *entry);

/*
 * How many levels of nodes this kernel's xas_split() can cross in one call, 1
 * to 3, as found by trying in a process of its own: stock 6.12 accepts deeper
 * ones and builds a wrong tree, later kernels refuse or warn.
 */
unsigned int tree_split_levels(void);

/* Whether index is the first index of an entry of old_order, and new_order is smaller. */
bool tree_has_entry(struct xarray *xa, unsigned long index, unsigned int old_order,
		    unsigned int new_order);

/* Whether this kernel has xas_try_split(), since Linux 6.15. */
bool tree_has_try_split(void);

/* xas_try_split() without memory taken beforehand: the nodes it got, or its error and none. */
struct split_result tree_try_split(struct xarray *xa, unsigned long index, unsigned int old_order,
				   unsigned int new_order, void *entry);

/* The entry as it is stored: unlike xa_load(), a zero entry is not hidden. */
void *tree_entry(struct xarray *xa, unsigned long index);

/* A growing string. */
struct text {
	char *data;
	size_t length, room;
};

void text_clear(struct text *text);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The token of an entry: vN pN 0 z r sK n xHEX. */
void text_entry(struct text *text, const void *entry);

/* The canonical dump and the list of the trace format, without their `end` lines. */
void tree_dump(struct text *text, struct xarray *xa);
void tree_list(struct text *text, struct xarray *xa);

/* Pointer number N as an entry; the counterpart of the token pN. */
void *pointer_entry(unsigned long number);

/* bench.c */

/* Run the timing trace on an array of 256 GiB and print JSON; returns the exit status. */
int bench(FILE *trace);

#endif
