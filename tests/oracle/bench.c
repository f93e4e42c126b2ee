// SPDX-License-Identifier: GPL-2.0-or-later
/* The timing mode; driver.c's opening comment states its rules. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/xarray.h>

#include "oracle.h"

#define ORDER_2M 9
#define ORDER_1G 18
#define HUGEPAGES 256UL
#define CLOCK_SAMPLES 1000000

enum kind { MAKE4K, MERGE2M, MERGE1G, LOAD, KINDS };

static const char * const kind_names[KINDS] = { "make4k", "merge2m", "merge1g", "load" };

struct bench_op {
	enum kind kind;
	unsigned long index;
};

struct tally {
	unsigned long ops;
	unsigned long acted;		/* ops that changed the tree, or loads */
	unsigned long nanoseconds;	/* with one pair of clock readings an op */
	struct node_counts nodes;
};

static struct xarray filemap;
static volatile unsigned long loads_seen;	/* keeps the loads from being optimised away */

/* CPU time of this process: another one on the same core does not count. */
static unsigned long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (unsigned long)time.tv_sec * 1000000000UL + (unsigned long)time.tv_nsec;
}

/* What a pair of clock readings with nothing between them measures. */
static double clock_cost(void)
{
	unsigned long total = 0;
	int i;

	for (i = 0; i < CLOCK_SAMPLES; i++) {
		unsigned long start = now();

		total += now() - start;
	}
	return (double)total / CLOCK_SAMPLES;
}

static unsigned long round_to(unsigned long index, unsigned int order)
{
	return index >> order << order;
}

static void *hugepage(unsigned long index)
{
	return pointer_entry(index >> ORDER_1G);
}

static bool split_1g(unsigned long index)
{
	unsigned long base = round_to(index, ORDER_1G), step;

	if (tree_split(&filemap, base, ORDER_1G, 12, hugepage(index)).error)
		return false;
	for (step = base; step < base + (1UL << ORDER_1G); step += 1UL << 12)
		if (tree_split(&filemap, step, 12, ORDER_2M, hugepage(index)).error)
			return false;
	return true;
}

static bool make4k(unsigned long index)
{
	int order = xa_get_order(&filemap, index);

	if (!order)
		return false;
	if (order == ORDER_1G && !split_1g(index))
		return false;
	return !tree_split(&filemap, round_to(index, ORDER_2M), ORDER_2M, 0, hugepage(index)).error;
}

static bool merge(unsigned long index, int order)
{
	if (xa_get_order(&filemap, index) >= order)
		return false;
	return !tree_store_order(&filemap, index, order, hugepage(index));
}

/* Returns whether the operation had something to do. */
static bool execute(const struct bench_op *op)
{
	bool acted = true;

	switch (op->kind) {
	case MAKE4K:
		acted = make4k(op->index);
		break;
	case MERGE2M:
		acted = merge(op->index, ORDER_2M);
		break;
	case MERGE1G:
		acted = merge(op->index, ORDER_1G);
		break;
	default:
		loads_seen += xa_load(&filemap, op->index) != NULL;
	}
	shim_rcu_flush();
	return acted;
}

static bool parse(const char *line, struct bench_op *op)
{
	char name[16];
	int kind;

	if (sscanf(line, "> %15s %lu", name, &op->index) != 2 &&
	    sscanf(line, "%15s %lu", name, &op->index) != 2)
		return false;
	for (kind = 0; kind < KINDS; kind++)
		if (!strcmp(name, kind_names[kind]))
			break;
	op->kind = kind;
	return kind < KINDS && op->index < HUGEPAGES << ORDER_1G;
}

static struct bench_op *read_trace(FILE *trace, unsigned long *count)
{
	struct bench_op *ops = NULL;
	unsigned long room = 0;
	char *line = NULL;
	size_t line_room = 0;

	*count = 0;
	while (getline(&line, &line_room, trace) > 0) {
		if (*line == '#')
			continue;
		if (*count == room) {
			room = 2 * room + 1024;
			ops = realloc(ops, room * sizeof(*ops));
		}
		if (!ops || !parse(line, &ops[*count])) {
			fprintf(stderr, "gmem-oracle: not a bench operation: %s", line);
			exit(2);
		}
		++*count;
	}
	free(line);
	return ops;
}

static void print_json(const struct tally *tallies, double overhead)
{
	int kind;

	for (kind = 0; kind < KINDS; kind++) {
		const struct tally *tally = &tallies[kind];
		double mean = tally->ops ? (double)tally->nanoseconds / (double)tally->ops - overhead : 0;

		printf("%s\"%s\": {\"ops\": %lu, \"acted\": %lu, \"ns_per_op\": %.1f, "
		       "\"allocs\": %lu, \"frees\": %lu}", kind ? ",\n " : "{", kind_names[kind],
		       tally->ops, tally->acted, mean > 0 ? mean : 0,
		       tally->nodes.allocs, tally->nodes.frees);
	}
	printf("}\n");
}

int bench(FILE *trace)
{
	struct tally tallies[KINDS] = { 0 };
	unsigned long count, i;
	struct bench_op *ops = read_trace(trace, &count);
	double overhead = clock_cost();

	xa_init(&filemap);
	for (i = 0; i < HUGEPAGES; i++)
		tree_store_order(&filemap, i << ORDER_1G, ORDER_1G, pointer_entry(i));
	for (i = 0; i < count; i++) {
		struct tally *tally = &tallies[ops[i].kind];
		struct node_counts before = node_counts;
		unsigned long start = now();
		bool acted = execute(&ops[i]);

		tally->nanoseconds += now() - start;
		tally->ops++;
		tally->acted += acted;
		tally->nodes.allocs += node_counts.allocs - before.allocs;
		tally->nodes.frees += node_counts.frees - before.frees;
	}
	print_json(tallies, overhead);
	xa_destroy(&filemap);
	shim_rcu_flush();
	free(ops);
	return 0;
}
