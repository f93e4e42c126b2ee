// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One test for each accusation of tests/xarray/KERNEL_DIFFERENCES.md.
 *
 * In the style of lib/test_xarray.c, and to be put there: its XA_BUG_ON() and
 * its xa_store_order() are all that is used.  A test asks for what is right,
 * so it says "BUG" on a kernel that has the mistake, and nothing on one that
 * has not.  Here main.c runs them, each in a process of its own.
 */

/* Split the entry of old_order that covers index, as callers do. */
static noinline int check_split_entry(struct xarray *xa, unsigned long index,
		unsigned int old_order, unsigned int new_order, void *entry,
		xa_update_node_t update)
{
	XA_STATE_ORDER(xas, xa, index, new_order);

	xas_set_update(&xas, update);
	xas_split_alloc(&xas, entry, old_order, GFP_KERNEL);
	if (xas_error(&xas))
		return xas_error(&xas);
	xas_lock(&xas);
	xas_split(&xas, entry, old_order);
	xas_unlock(&xas);
	xas_destroy(&xas);
	return 0;
}

static struct xa_node *check_head_node(struct xarray *xa)
{
	return xa_to_node(xa_head(xa));
}

/* split-from-the-middle: the split starts at the index it was given */
static noinline void check_split_from_the_middle(struct xarray *xa)
{
	unsigned long index;

	xa_store_order(xa, 0, 9, xa_mk_value(1), GFP_KERNEL);
	xa_store_order(xa, 512, 9, xa_mk_value(2), GFP_KERNEL);
	XA_BUG_ON(xa, check_split_entry(xa, 64, 9, 0, xa_mk_value(1), NULL) != 0);
	XA_BUG_ON(xa, xa_load(xa, 512) != xa_mk_value(2));
	for (index = 0; index < 512; index++)
		XA_BUG_ON(xa, xa_load(xa, index) != xa_mk_value(1) ||
				xa_get_order(xa, index) != 0);
	xa_destroy(xa);
}

/* No slot of the top node is left with a value, or none was counted there. */
static noinline void check_split_leaves_no_value(struct xarray *xa,
		unsigned int old_order, unsigned int new_order, void *before,
		void *after)
{
	xa_store_order(xa, 0, old_order, before, GFP_KERNEL);
	XA_BUG_ON(xa, check_split_entry(xa, 0, old_order, new_order, after, NULL) != 0);
	XA_BUG_ON(xa, check_head_node(xa)->nr_values != 0);
	xa_destroy(xa);
}

/* split-to-a-pointer: the parent goes on counting values that are gone */
static noinline void check_split_to_a_pointer(struct xarray *xa)
{
	check_split_leaves_no_value(xa, 9, 0, xa_mk_value(5), xa);
}

/* split-to-a-value: values are taken off that were never counted */
static noinline void check_split_to_a_value(struct xarray *xa)
{
	check_split_leaves_no_value(xa, 9, 0, xa, xa_mk_value(3));
}

/* split-within-a-node: the same without a new node */
static noinline void check_split_within_a_node(struct xarray *xa)
{
	check_split_leaves_no_value(xa, 5, 2, xa_mk_value(5), xa);
}

/* store-over-siblings: eight slots become values, one is counted */
static noinline void check_store_over_siblings(struct xarray *xa)
{
	xa_store_order(xa, 0, 3, xa, GFP_KERNEL);
	xa_store(xa, 3, xa_mk_value(1), GFP_KERNEL);
	XA_BUG_ON(xa, check_head_node(xa)->count != 8);
	XA_BUG_ON(xa, check_head_node(xa)->nr_values != 8);
	xa_destroy(xa);
}

/* store-then-erase: eight are taken off where one was counted */
static noinline void check_store_then_erase(struct xarray *xa)
{
	xa_store_order(xa, 0, 3, xa, GFP_KERNEL);
	xa_store(xa, 9, xa, GFP_KERNEL);
	xa_store(xa, 3, xa_mk_value(1), GFP_KERNEL);
	xa_erase(xa, 0);
	XA_BUG_ON(xa, check_head_node(xa)->count != 1);
	XA_BUG_ON(xa, check_head_node(xa)->nr_values != 0);
	xa_store(xa, 9, xa_mk_value(2), GFP_KERNEL);
	XA_BUG_ON(xa, check_head_node(xa)->nr_values != 1);
	xa_destroy(xa);
}

#ifdef XA_HAS_TRY_SPLIT
static noinline void check_try_split_refuses(struct xarray *xa,
		unsigned int old_order, unsigned int new_order)
{
	XA_STATE_ORDER(xas, xa, 0, new_order);

	xa_store_order(xa, 0, old_order, xa, GFP_KERNEL);
	xas_lock(&xas);
	xas_try_split(&xas, xa, old_order);
	xas_unlock(&xas);
	XA_BUG_ON(xa, xas_error(&xas) != -EINVAL);
	XA_BUG_ON(xa, xa_get_order(xa, 0) != (int)old_order);
	xas_destroy(&xas);
	xa_destroy(xa);
}

/* try-split-12-5: taken for 12 to 11 */
static noinline void check_try_split_12_5(struct xarray *xa)
{
	check_try_split_refuses(xa, 12, 5);
}

/* try-split-18-5: taken for 18 to 17 */
static noinline void check_try_split_18_5(struct xarray *xa)
{
	check_try_split_refuses(xa, 18, 5);
}
#endif

static unsigned long check_nodes_of_values;

/* What mm/workingset.c puts on its list. */
static void check_count_node(struct xa_node *node)
{
	if (node->count && node->count == node->nr_values)
		check_nodes_of_values++;
}

/*
 * update-callback: nobody hears of the new leaves.  Every kernel splits one
 * level; two levels more are asked of one that says it can.
 */
static noinline void check_update_callback(struct xarray *xa)
{
	int error;

	check_nodes_of_values = 0;
	xa_store_order(xa, 0, 12, xa_mk_value(7), GFP_KERNEL);
	XA_BUG_ON(xa, check_split_entry(xa, 0, 12, 6, xa_mk_value(7), check_count_node) != 0);
	XA_BUG_ON(xa, check_nodes_of_values != 1);
	xa_destroy(xa);

	check_nodes_of_values = 0;
	xa_store_order(xa, 0, 18, xa_mk_value(7), GFP_KERNEL);
	error = check_split_entry(xa, 0, 18, 0, xa_mk_value(7), check_count_node);
	XA_BUG_ON(xa, error != 0 && error != -ENOMEM);
	XA_BUG_ON(xa, !error && check_nodes_of_values != 4096);
	xa_destroy(xa);
}

/* two-levels-refused: 1G to 2M, pages being of 4K */
static noinline void check_two_levels_refused(struct xarray *xa)
{
	xa_store_order(xa, 0, 18, xa, GFP_KERNEL);
	XA_BUG_ON(xa, check_split_entry(xa, 0, 18, 9, xa, NULL) != 0);
	XA_BUG_ON(xa, xa_get_order(xa, 0) != 9);
	XA_BUG_ON(xa, xa_get_order(xa, (1UL << 18) - 1) != 9);
	xa_destroy(xa);
}
