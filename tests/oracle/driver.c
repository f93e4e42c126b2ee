// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * gmem-oracle: the kernel's own XArray, speaking the trace format.
 *
 * Reads a trace on standard input and writes it to standard output with the
 * results that this kernel gives: `#` lines are copied, `> op args` lines
 * are copied and answered by `< result` lines, recorded `< ` lines are
 * dropped. So the output is itself a trace, and replaying a correct trace
 * reproduces it byte by byte.
 *
 *	gmem-oracle [TRACE-ON-STDIN]	replay
 *	gmem-oracle --bench		time a trace of bench operations, print JSON
 *	gmem-oracle --version		kernel, chunk shift, node size, build
 *
 * Exit status: 0 done, 2 the input is not a trace, 3 the build is not what
 * it should be (chunk shift).
 *
 * What this kernel cannot do is answered by `< unsupported`, with the tree
 * untouched: try_split before 6.15; a split of more levels of nodes than it
 * gets right (stock 6.12: one; it refuses some deeper ones and corrupts the
 * tree on others, 12->0 among them); a split whose index and old order are
 * not those of an entry. --version says what it can do.
 *
 * Two operations are not in the format, since only the oracle asks for them:
 * `watch`, right after `new`, gives the array the update callback of
 * mm/workingset.c, and `listed` says how many nodes are on that one's list.
 * A watched array is stored to, erased, split, marked and looked at; what
 * else changes an array takes no callback and is unsupported.
 *
 * The bench trace (--bench)
 *
 * First, untimed: 256 entries of order 18 (1G pages of 4K), at index
 * k << 18 the pointer pk, k = 0..255. Then one line an operation, I a page
 * index below 1 << 26:
 *
 *	make4k I	order at I is 18: split 1G -> 2M; order is then 9: split
 *			that 2M -> 4K; order is 0: no-op
 *	merge2m I	order at I below 9: store at order 9; otherwise no-op
 *	merge1g I	order at I below 18: store at order 18; otherwise no-op
 *	load I		xa_load
 *
 * Merging stores the pointer of the 1G page (p(I >> 18)). A no-op is an
 * xa_get_order() and counts as an operation: its time is in the mean. This
 * kernel cannot do 18 -> 9 in one call (it accepts it and builds a wrong
 * tree), so 1G -> 2M goes by one-level steps: 18 -> 12, then each of the 64
 * order-12 entries 12 -> 9. Nodes taken (1 + 64) and the tree that results
 * are those of a direct 18 -> 9. Freed nodes are given back inside the
 * operation that freed them, so their time is in it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <linux/radix-tree.h>
#include <linux/xarray.h>

#include "oracle.h"

#define MAX_ARGS 4
#define CHUNK_SHIFT 6

static struct xarray array;
static struct text result;	/* of the current operation, without "< " */
static unsigned long line_number;
static unsigned int split_levels;	/* that one split may cross */

/* One operation as it was read. */
struct op {
	const char *name;
	char *args[MAX_ARGS];
	int count;
};

static void __attribute__((noreturn, format(printf, 1, 2))) bad_input(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "gmem-oracle: line %lu: ", line_number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static unsigned long parse_number(const char *text)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno)
		bad_input("`%s` is not a number", text);
	return number;
}

static unsigned long number(const struct op *op, int arg)
{
	return parse_number(op->args[arg]);
}

static unsigned int order(const struct op *op, int arg)
{
	unsigned long order = number(op, arg);

	if (order >= BITS_PER_LONG)
		bad_input("`%s` is not an order", op->args[arg]);
	return (unsigned int)order;
}

static xa_mark_t mark(const struct op *op, int arg)
{
	unsigned long mark = number(op, arg);

	if (mark > 2)
		bad_input("`%s` is not a mark", op->args[arg]);
	return (__force xa_mark_t)mark;
}

static void *entry(const struct op *op, int arg)
{
	const char *text = op->args[arg];

	if (*text == 'v')
		return xa_mk_value(parse_number(text + 1));
	if (*text == 'p')
		return pointer_entry(parse_number(text + 1));
	if (!strcmp(text, "z"))
		return XA_ZERO_ENTRY;
	if (strcmp(text, "0"))
		bad_input("`%s` is not an entry", text);
	return NULL;
}

static void answer_entry(const void *entry)
{
	text_entry(&result, entry);
	text_printf(&result, "\n");
}

static void answer_number(long number)
{
	text_printf(&result, "%ld\n", number);
}

static void answer(const char *line)
{
	text_printf(&result, "%s\n", line);
}

static void op_new(const struct op *op)
{
	(void)op;
	tree_unwatch();
	xa_destroy(&array);
	shim_rcu_flush();
	shim_reset();
	xa_init(&array);
	answer("ok");
}

static void op_destroy(const struct op *op)
{
	bool watched = tree_watched();

	(void)op;
	tree_unwatch();
	xa_destroy(&array);
	if (watched)
		tree_watch();
	answer("ok");
}

static void op_watch(const struct op *op)
{
	(void)op;
	if (!xa_empty(&array))
		bad_input("`watch`: the array is not empty");
	tree_watch();
	answer("ok");
}

static void op_listed(const struct op *op)
{
	(void)op;
	text_printf(&result, "listed=%lu\n", tree_listed());
}

/* Whether an operation that takes no callback cannot be done; then it is answered. */
static bool unsupported_when_watched(void)
{
	if (tree_watched())
		answer("unsupported");
	return tree_watched();
}

static void op_store(const struct op *op)
{
	if (tree_watched())
		answer_entry(tree_store(&array, number(op, 0), entry(op, 1)));
	else
		answer_entry(xa_store(&array, number(op, 0), entry(op, 1), GFP_KERNEL));
}

static void op_store_order(const struct op *op)
{
	int error = tree_store_order(&array, number(op, 0), order(op, 1), entry(op, 2));

	if (error)
		text_printf(&result, "err %d\n", error);
	else
		answer("ok");
}

static void op_store_range(const struct op *op)
{
	void *old;

	if (unsupported_when_watched())
		return;
	old = xa_store_range(&array, number(op, 0), number(op, 1), entry(op, 2), GFP_KERNEL);
	answer_entry(xa_is_err(old) ? old : NULL);
}

static void op_load(const struct op *op)
{
	answer_entry(xa_load(&array, number(op, 0)));
}

static void op_erase(const struct op *op)
{
	answer_entry(tree_watched() ? tree_store(&array, number(op, 0), NULL) : xa_erase(&array, number(op, 0)));
}

static void op_get_order(const struct op *op)
{
	answer_number(xa_get_order(&array, number(op, 0)));
}

static void op_insert(const struct op *op)
{
	if (unsupported_when_watched())
		return;
	answer_number(xa_insert(&array, number(op, 0), entry(op, 1), GFP_KERNEL));
}

static void op_cmpxchg(const struct op *op)
{
	if (unsupported_when_watched())
		return;
	answer_entry(xa_cmpxchg(&array, number(op, 0), entry(op, 1), entry(op, 2), GFP_KERNEL));
}

static void op_reserve(const struct op *op)
{
	if (unsupported_when_watched())
		return;
	answer_number(xa_reserve(&array, number(op, 0), GFP_KERNEL));
}

static void op_release(const struct op *op)
{
	if (unsupported_when_watched())
		return;
	xa_release(&array, number(op, 0));
	answer("ok");
}

static bool can_split(unsigned long index, unsigned int old_order, unsigned int new_order)
{
	return old_order / XA_CHUNK_SHIFT - new_order / XA_CHUNK_SHIFT <= split_levels &&
	       tree_has_entry(&array, index, old_order, new_order);
}

static void op_split(const struct op *op)
{
	unsigned long index = number(op, 0);
	unsigned int old_order = order(op, 1), new_order = order(op, 2);
	struct split_result split;

	if (!can_split(index, old_order, new_order)) {
		answer("unsupported");
		return;
	}
	split = tree_split(&array, index, old_order, new_order,
			   strcmp(op->args[3], "=") ? entry(op, 3) : tree_entry(&array, index));
	if (split.error)
		text_printf(&result, "err %d alloc=%lu freed=%lu\n", split.error,
			    split.alloc.allocs, split.alloc.frees);
	else
		text_printf(&result, "ok alloc=%lu used=%lu freed=%lu\n", split.alloc.allocs,
			    split.alloc.allocs - split.unused, split.unused);
}

static void op_try_split(const struct op *op)
{
	unsigned long index = number(op, 0);
	unsigned int old_order = order(op, 1), new_order = order(op, 2);
	struct split_result split;

	if (!tree_has_try_split() || !tree_has_entry(&array, index, old_order, new_order)) {
		answer("unsupported");
		return;
	}
	split = tree_try_split(&array, index, old_order, new_order,
			       strcmp(op->args[3], "=") ? entry(op, 3) : tree_entry(&array, index));
	if (split.error)
		text_printf(&result, "err %d alloc=%lu freed=%lu\n", split.error,
			    split.alloc.allocs, split.unused);
	else
		text_printf(&result, "ok alloc=%lu used=%lu freed=%lu\n", split.alloc.allocs,
			    split.alloc.allocs - split.unused, split.unused);
}

static void op_set_mark(const struct op *op)
{
	xa_set_mark(&array, number(op, 0), mark(op, 1));
	answer("ok");
}

static void op_clear_mark(const struct op *op)
{
	xa_clear_mark(&array, number(op, 0), mark(op, 1));
	answer("ok");
}

static void op_get_mark(const struct op *op)
{
	answer_number(xa_get_mark(&array, number(op, 0), mark(op, 1)));
}

static void op_marked(const struct op *op)
{
	answer_number(xa_marked(&array, mark(op, 0)));
}

static void op_empty(const struct op *op)
{
	(void)op;
	answer_number(xa_empty(&array));
}

static void find(const struct op *op,
		 void *search(struct xarray *, unsigned long *, unsigned long, xa_mark_t))
{
	xa_mark_t filter = strcmp(op->args[2], "p") ? mark(op, 2) : XA_PRESENT;
	unsigned long index = number(op, 0);
	void *found = search(&array, &index, number(op, 1), filter);

	if (!found) {
		answer("none");
		return;
	}
	text_printf(&result, "%lu ", index);
	answer_entry(found);
}

static void op_find(const struct op *op)
{
	find(op, xa_find);
}

static void op_find_after(const struct op *op)
{
	find(op, xa_find_after);
}

static void op_count(const struct op *op)
{
	(void)op;
	text_printf(&result, "live=%lu allocs=%lu frees=%lu\n",
		    node_counts.allocs - node_counts.frees, node_counts.allocs, node_counts.frees);
}

static void op_fail_after(const struct op *op)
{
	shim_fail_after(number(op, 0), op->count > 1 ? number(op, 1) : 1);
	answer("ok");
}

static void op_dump(const struct op *op)
{
	(void)op;
	tree_dump(&result, &array);
	answer("end");
}

static void op_list(const struct op *op)
{
	(void)op;
	tree_list(&result, &array);
	answer("end");
}

/* CRC-32 as zlib's crc32(): polynomial 0xedb88320, reflected. */
static unsigned int crc32_of(const struct text *text)
{
	static unsigned int table[256];
	unsigned int crc = ~0U;
	size_t i;

	if (!table[1])
		for (i = 0; i < 256; i++) {
			unsigned int bit, rest = (unsigned int)i;

			for (bit = 0; bit < 8; bit++)
				rest = rest >> 1 ^ (rest & 1 ? 0xedb88320U : 0);
			table[i] = rest;
		}
	for (i = 0; i < text->length; i++)
		crc = crc >> 8 ^ table[(crc ^ (unsigned char)text->data[i]) & 0xff];
	return ~crc;
}

static void op_hash(const struct op *op)
{
	static struct text dump;

	(void)op;
	text_clear(&dump);
	tree_dump(&dump, &array);
	text_printf(&result, "crc=%08x len=%zu\n", crc32_of(&dump), dump.length);
}

static const struct {
	const char *name;
	int min_args, max_args;
	void (*run)(const struct op *op);
} operations[] = {
	{ "load", 1, 1, op_load },
	{ "store", 2, 2, op_store },
	{ "store_order", 3, 3, op_store_order },
	{ "split", 4, 4, op_split },
	{ "get_order", 1, 1, op_get_order },
	{ "erase", 1, 1, op_erase },
	{ "set_mark", 2, 2, op_set_mark },
	{ "clear_mark", 2, 2, op_clear_mark },
	{ "get_mark", 2, 2, op_get_mark },
	{ "marked", 1, 1, op_marked },
	{ "find", 3, 3, op_find },
	{ "find_after", 3, 3, op_find_after },
	{ "hash", 0, 0, op_hash },
	{ "count", 0, 0, op_count },
	{ "dump", 0, 0, op_dump },
	{ "list", 0, 0, op_list },
	{ "store_range", 3, 3, op_store_range },
	{ "insert", 2, 2, op_insert },
	{ "cmpxchg", 3, 3, op_cmpxchg },
	{ "reserve", 1, 1, op_reserve },
	{ "release", 1, 1, op_release },
	{ "empty", 0, 0, op_empty },
	{ "fail_after", 1, 2, op_fail_after },
	{ "new", 0, 0, op_new },
	{ "destroy", 0, 0, op_destroy },
	{ "watch", 0, 0, op_watch },
	{ "listed", 0, 0, op_listed },
	{ "usplit", 4, 4, op_split },		/* upstream's own split: what this is */
	{ "try_split", 4, 4, op_try_split },
};

static void run_op(char *line)
{
	struct op op = { .name = strtok(line, " ") };
	char *word;
	size_t i;

	if (!op.name)
		bad_input("an operation without a name");
	while ((word = strtok(NULL, " "))) {
		if (op.count == MAX_ARGS)
			bad_input("`%s`: too many arguments", op.name);
		op.args[op.count++] = word;
	}
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (!strcmp(op.name, operations[i].name))
			break;
	if (i == ARRAY_SIZE(operations))
		bad_input("`%s` is not an operation", op.name);
	if (op.count < operations[i].min_args || op.count > operations[i].max_args)
		bad_input("`%s`: %d arguments", op.name, op.count);
	operations[i].run(&op);
	shim_rcu_flush();
}

static void print_result(void)
{
	char *line = result.data, *end;

	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		fputs("< ", stdout);
		fwrite(line, 1, (size_t)(end - line) + 1, stdout);
	}
	text_clear(&result);
}

static int replay(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0) {
		line_number++;
		if (line[length - 1] == '\n')
			line[--length] = '\0';
		if (!strncmp(line, "<", 1))
			continue;
		puts(line);
		if (!strncmp(line, "> ", 2)) {
			fflush(stdout);		/* should the kernel's code die in it, the output names the operation */
			run_op(line + 2);
			print_result();
		} else if (length && *line != '#') {
			bad_input("neither `#`, `>` nor `<`");
		}
	}
	free(line);
	return 0;
}

/*
 * The chunk shift that lib/xarray.c was really compiled with: 64 indices
 * need one node, 65 need three, and only at shift 6.
 */
static bool chunk_shift_is_6(void)
{
	unsigned long nodes;

	static_assert(XA_CHUNK_SHIFT == CHUNK_SHIFT, "generated/map-shift.h is stale");
	xa_store(&array, 63, xa_mk_value(1), GFP_KERNEL);
	nodes = node_counts.allocs;
	xa_store(&array, 64, xa_mk_value(1), GFP_KERNEL);
	nodes = nodes * 10 + node_counts.allocs;
	xa_destroy(&array);
	shim_rcu_flush();
	shim_reset();
	return nodes == 13;
}

static int version(void)
{
	printf("gmem-oracle: Linux %s, XA_CHUNK_SHIFT %d, node %zu bytes, splits %u level%s, %stry_split, %s build\n",
	       ORACLE_KERNEL, XA_CHUNK_SHIFT, sizeof(struct xa_node), split_levels,
	       split_levels == 1 ? "" : "s", tree_has_try_split() ? "" : "no ",
#ifdef ORACLE_FAST
	       "fast"
#else
	       "checked"
#endif
	       );
	return 0;
}

int main(int argc, char **argv)
{
	static char output[1 << 20];

	setvbuf(stdout, output, _IOFBF, sizeof(output));
	rcu_register_thread();
	radix_tree_init();
	xa_init(&array);
	if (!chunk_shift_is_6()) {
		fprintf(stderr, "gmem-oracle: lib/xarray.c was not built at chunk shift 6\n");
		return 3;
	}
	split_levels = tree_split_levels();
	if (argc == 1)
		return replay();
	if (argc == 2 && !strcmp(argv[1], "--bench"))
		return bench(stdin);
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return version();
	fprintf(stderr, "usage: gmem-oracle [--bench | --version] < trace\n");
	return 2;
}
