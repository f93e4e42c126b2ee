// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs the tests of check_differences.c on the kernel's code that was built.
 *
 *	gmem-reproducers	a line each: KEY: right
 *				             KEY: wrong: CONDITION (CHECKS of CHECKS failed)
 *				             KEY: not here: REASON
 *
 * Each runs in a process of its own: one that dies is wrong as well.  Exit
 * status 0: all were tried, whatever they found.  The kernel's code is built
 * as for use, without XA_DEBUG, which would end a process at the first wrong
 * count that it meets and hide what comes after.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/radix-tree.h>
#include <linux/xarray.h>

#include "../oracle.h"

#define noinline __attribute__((noinline))

static unsigned int checks, failed;
static const char *first;	/* the condition of the first that failed */

#undef XA_BUG_ON
#define XA_BUG_ON(xa, x) do {		\
	(void)(xa);			\
	checks++;			\
	if (x) {			\
		failed++;		\
		first = first ? first : #x;	\
	}				\
} while (0)

static void xa_store_order(struct xarray *xa, unsigned long index, unsigned int order,
			   void *entry, gfp_t gfp)
{
	(void)gfp;
	assert(!tree_store_order(xa, index, order, entry));
}

#ifdef ORACLE_TRY_SPLIT
#define XA_HAS_TRY_SPLIT
#endif

#include "check_differences.c"

/*
 * overflow: the number of nodes that 38 to 0 needs does not fit an unsigned
 * int.  No machine has that memory: nodes are only counted, by handing out
 * the same one again and again, until more are asked for than would fit.
 */
static jmp_buf asked_for_more;

static void more(void)
{
	longjmp(asked_for_more, 1);
}

static void check_overflow(struct xarray *xa)
{
	const unsigned long needed = 4363141380, fits = needed & 0xffffffff;
	XA_STATE_ORDER(xas, xa, 0, 0);

	if (setjmp(asked_for_more))
		return;		/* right: it goes on beyond what is left after the overflow */
	shim_phantom(fits, more);
	xas_split_alloc(&xas, xa, 38, GFP_KERNEL);
	shim_phantom(0, NULL);
	XA_BUG_ON(xa, xas_error(&xas) != -ENOMEM);	/* refusing is right as well */
}

static const struct {
	const char *key;
	void (*run)(struct xarray *xa);
	const char *lacks;
} reproducers[] = {
	{ "split-from-the-middle", check_split_from_the_middle, NULL },
	{ "split-to-a-pointer", check_split_to_a_pointer, NULL },
	{ "split-to-a-value", check_split_to_a_value, NULL },
	{ "split-within-a-node", check_split_within_a_node, NULL },
	{ "store-over-siblings", check_store_over_siblings, NULL },
	{ "store-then-erase", check_store_then_erase, NULL },
#ifdef XA_HAS_TRY_SPLIT
	{ "try-split-12-5", check_try_split_12_5, NULL },
	{ "try-split-18-5", check_try_split_18_5, NULL },
#else
	{ "try-split-12-5", NULL, "this kernel has no xas_try_split()" },
	{ "try-split-18-5", NULL, "this kernel has no xas_try_split()" },
#endif
	{ "update-callback", check_update_callback, NULL },
	{ "overflow", check_overflow, NULL },
	{ "marks-cost", NULL, "a cost, which no test judges" },
	{ "two-levels-refused", check_two_levels_refused, NULL },
};

static void __attribute__((noreturn)) run(size_t number)
{
	struct xarray xa;

	if (!freopen("/dev/null", "w", stderr))		/* what a kernel warns of is expected */
		_exit(1);
	xa_init(&xa);
	reproducers[number].run(&xa);
	if (failed)
		printf("%s: wrong: %s (%u of %u checks failed)\n", reproducers[number].key, first,
		       failed, checks);
	else
		printf("%s: right\n", reproducers[number].key);
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	size_t i;

	rcu_register_thread();
	radix_tree_init();
	for (i = 0; i < ARRAY_SIZE(reproducers); i++) {
		int status;
		pid_t child;

		if (reproducers[i].lacks) {
			printf("%s: not here: %s\n", reproducers[i].key, reproducers[i].lacks);
			continue;
		}
		fflush(stdout);
		child = fork();
		assert(child >= 0);
		if (!child)
			run(i);
		if (waitpid(child, &status, 0) != child || status)
			printf("%s: wrong: it dies with status %d\n", reproducers[i].key, status);
	}
	return 0;
}
