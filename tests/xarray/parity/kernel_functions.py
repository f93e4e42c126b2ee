# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions of lib/test_xarray.c, 6.12 to 6.18, and why some of them have no counterpart here."""

from __future__ import annotations

HELPERS = {
    "test_get_entry": "XArray.load",
    "test_update_node": "ValueNodeLru",
    "xa_alloc_index": "XArray.alloc",
    "xa_dump": "XArray.dump",
    "xa_erase_index": "XArray.erase",
    "xa_insert_index": "XArray.insert",
    "xa_mk_index": "the index itself, which is a value entry",
    "xa_store_index": "XArray.store",
    "xa_store_order": "XArray.store_order",
}
"""Functions that test nothing by themselves, and what takes their place."""

LEFT_OUT = {
    "check_create_range_3": "an xa_state that already carries an error keeps it; our calls raise, nothing carries one",
    "check_xas_retry": "RCU: retry entries, which a reader may meet while a node is being freed",
    "xarray_checks": "runs the others; pytest does that here",
    "xarray_exit": "unloads the module",
}
"""Functions without a counterpart, and why."""

TESTS = (
    "__check_store_iter",
    "__check_store_range",
    "check_account",
    "check_align",
    "check_align_1",
    "check_align_2",
    "check_cmpxchg",
    "check_cmpxchg_order",
    "check_create_range",
    "check_create_range_1",
    "check_create_range_2",
    "check_create_range_4",
    "check_create_range_5",
    "check_destroy",
    "check_find",
    "check_find_1",
    "check_find_2",
    "check_find_3",
    "check_find_4",
    "check_find_entry",
    "check_get_order",
    "check_insert",
    "check_move",
    "check_move_max",
    "check_move_small",
    "check_move_tiny",
    "check_multi_find_1",
    "check_multi_find_2",
    "check_multi_find_3",
    "check_multi_store",
    "check_multi_store_1",
    "check_multi_store_2",
    "check_multi_store_3",
    "check_multi_store_advanced",
    "check_pause",
    "check_reserve",
    "check_split",
    "check_split_1",
    "check_split_2",
    "check_store_iter",
    "check_store_range",
    "check_workingset",
    "check_xa_alloc",
    "check_xa_alloc_1",
    "check_xa_alloc_2",
    "check_xa_alloc_3",
    "check_xa_err",
    "check_xa_load",
    "check_xa_mark",
    "check_xa_mark_1",
    "check_xa_mark_2",
    "check_xa_mark_3",
    "check_xa_multi_store_adv",
    "check_xa_multi_store_adv_add",
    "check_xa_multi_store_adv_del_entry",
    "check_xa_multi_store_adv_delete",
    "check_xa_shrink",
    "check_xas_conflict_get_order",
    "check_xas_erase",
    "check_xas_get_order",
    "shadow_remove",
    "xa_find_entry",
    "xa_store_many_order",
)
"""Functions that must have a counterpart."""

SINCE = {"check_split_2": "6.15"}
"""Functions that 6.12 does not have."""
