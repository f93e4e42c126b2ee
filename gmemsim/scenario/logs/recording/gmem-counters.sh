#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# gmem-counters.sh - what one conversion changes in the kernel's counters, to
# compare with what gmemsim predicts.  As root, on a host that is quiet:
#
#	sh gmem-counters.sh before
#	(share one page of a private 1G hugepage)
#	sh gmem-counters.sh after 1G
#
# "after" prints the differences and the command that predicts them, for a
# hugepage of the size named (default 1G).
#
#   radix_tree_node   filemap nodes: active objects in /proc/slabinfo
#   maple_node        attribute nodes.  Boot with slab_nomerge: a cache that
#		      was merged with another is not listed by its own name
#   nr_memmap_pages   vmemmap, in pages: /proc/vmstat, since Linux 6.11
#   pages_4k, _2m, _1g  mappings of all guests: KVM's statistics in debugfs
#
# Slab counts are exact only as far as the kernel's are: free objects in the
# CPUs' own slabs count as active.  Nodes are freed after a grace period, so
# wait a second before "after".  GMEM_ROOT is put before /proc and /sys,
# GMEM_STATE names the file that keeps the first snapshot.
#
# Checked: dash and sh -n; the names are those of Linux 6.12 (mm/slab_common.c
# for slabinfo's columns, mm/vmstat.c, arch/x86/kvm/x86.c).  Not run on a host
# with a guest_memfd on HugeTLB.

root=${GMEM_ROOT-}
state=${GMEM_STATE-./gmem-counters.before}
counters="radix_tree_node maple_node nr_memmap_pages pages_4k pages_2m pages_1g"

# The value of one counter; nothing if this kernel does not have it.
counter() {
	case $1 in
	radix_tree_node | maple_node)
		awk -v name="$1" '$1 == name { print $2 }' "$root/proc/slabinfo" 2>/dev/null ;;
	nr_memmap_pages)
		awk '$1 == "nr_memmap_pages" { print $2 }' "$root/proc/vmstat" 2>/dev/null ;;
	*)
		cat "$root/sys/kernel/debug/kvm/$1" 2>/dev/null ;;
	esac
}

snapshot() {
	for name in $counters; do
		value=$(counter "$name")
		echo "$name ${value:-absent}"
	done
}

case ${1-} in
before)
	snapshot > "$state" || exit 1
	echo "wrote $state; convert, then: sh $0 after"
	;;
after)
	if [ ! -r "$state" ]; then
		echo "$0: found no $state, expected that of: sh $0 before" >&2
		exit 2
	fi
	snapshot | while read -r name now; do
		then=$(awk -v name="$name" '$1 == name { print $2 }' "$state")
		if [ "$now" = absent ] || [ "${then:-absent}" = absent ]; then
			printf '%-16s not available\n' "$name"
		else
			printf '%-16s %+d\n' "$name" $((now - then))
		fi
	done
	size=${2-1G}
	echo
	echo "predicted by: gmemsim explain split $size 4K --policy b-today"
	echo "  its nodes are radix_tree_node, its vmemmap pages nr_memmap_pages (0 without HVO);"
	echo "  pages_4k, _2m, _1g are the leaves that gmemsim run --figure orders draws"
	;;
*)
	echo "usage: sh $0 before | after [HUGEPAGE SIZE]" >&2
	exit 2
	;;
esac
