#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the live oracle: the kernel's own lib/xarray.c in user space, at chunk shift 6, under our driver.
#
#   tests/oracle/build.sh                   from Debian's linux-source-6.12
#   KERNEL=/path/to/linux tests/oracle/build.sh
#
# Results, in the git-ignored tests/oracle/build/:
#   gmem-oracle        objects of the kernel's own tools/testing/radix-tree harness: XA_DEBUG, ASan, UBSan
#   gmem-oracle-fast   the same sources at -O2 without any of them, for timing
#   gmem-reproducers   the tests of reproducers/, on those sources
# Nothing is rebuilt while source, our files and compiler stay the same. Kernel files are used, never changed or committed.
set -euo pipefail

readonly SHIFT=6
readonly TARBALL=/usr/src/linux-source-6.12.tar.xz
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here build=$here/build tree=$here/build/linux
readonly harness=$tree/tools/testing/radix-tree
# What of a kernel tree the harness needs.
readonly parts=(Makefile lib/xarray.c lib/test_xarray.c lib/radix-tree.c lib/radix-tree.h lib/idr.c
    lib/maple_tree.c lib/test_maple_tree.c include/linux tools/include tools/lib tools/arch
    tools/testing/radix-tree tools/testing/shared)
readonly harness_objects=(xarray-shared.o radix-tree.o find_bit.o bitmap.o hweight.o vsprintf.o)
readonly ours=(shim.c tree.c driver.c bench.c)
readonly judges=(shim.c tree.c reproducers/main.c)
readonly includes=(../shared . ../../include ../../../lib)

die() {
    echo "oracle: $*" >&2
    exit 1
}

have_header() {
    echo "#include <$1>" | "${CC:-cc}" -E -x c - >/dev/null 2>&1
}

# Prints the names of the Debian packages that are missing.
missing_packages() {
    [[ -n ${KERNEL:-} || -e $TARBALL ]] || echo linux-source-6.12
    command -v "${CC:-cc}" >/dev/null || echo gcc
    command -v make >/dev/null || echo make
    have_header stdio.h || echo libc6-dev
    have_header urcu.h || echo liburcu-dev
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        die "missing ${packages[*]}: apt-get install ${packages[*]} as root, or set KERNEL=/path/to/linux for the source"
    fi
    echo "oracle: installing ${packages[*]}" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; } \
        >"$build/apt.log" 2>&1 || die "could not install ${packages[*]}, see $build/apt.log"
}

# One line that changes when the kernel source does.
source_identity() {
    if [[ -n ${KERNEL:-} ]]; then
        [[ -e $KERNEL/lib/xarray.c ]] || die "KERNEL=$KERNEL is not a Linux source tree"
        [[ -e $KERNEL/tools/testing/shared/xarray-shared.c ]] ||
            die "KERNEL=$KERNEL has no tools/testing/shared: 6.12 is the oldest that does"
        echo "tree $KERNEL $(cd "$KERNEL" && cksum Makefile lib/xarray.c include/linux/xarray.h | cksum)"
    else
        echo "tarball $(stat -c '%s %Y' "$TARBALL")"
    fi
}

unpack() {
    rm -rf "$tree"
    mkdir -p "$tree"
    if [[ -n ${KERNEL:-} ]]; then
        tar -C "$KERNEL" -cf - "${parts[@]}" | tar -C "$tree" -xf -
    else
        tar -C "$tree" --strip-components=1 -xf "$TARBALL" "${parts[@]/#/linux-source-6.12/}"
    fi
}

kernel_version() {
    sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL) = ([0-9]+)$/\2/p' "$tree/Makefile" | paste -sd.
}

# From clean, always: the generated map-shift header has no prerequisites, so make would keep one of another shift.
build_harness() {
    make -s -C "$harness" clean
    rm -rf "$harness/generated"
    make -s -C "$harness" SHIFT=$SHIFT "${harness_objects[@]}"
    grep -qx "#define XA_CHUNK_SHIFT $SHIFT" "$harness/generated/map-shift.h" || die "chunk shift is not $SHIFT"
}

# compile OUTPUT FLAGS-AND-SOURCES...: the given files, in the harness's folder.
compile() {
    local output=$1
    shift
    if grep -q 'void xas_try_split(struct xa_state \*' "$tree/include/linux/xarray.h"; then
        set -- -DORACLE_TRY_SPLIT "$@"
    fi
    (cd "$harness" && "${CC:-cc}" -g -std=gnu11 -Wall -Wextra -Werror -D_LGPL_SOURCE -D_GNU_SOURCE \
        -DORACLE_KERNEL="\"$(kernel_version)\"" -include shared.h "${includes[@]/#/-isystem}" \
        "$@" -o "$output.new" -lurcu -lpthread)
    mv "$output.new" "$output"
}

# check_shift OUTPUT: die unless this driver runs at our chunk shift.
check_shift() {
    "$1" --version | grep -q "XA_CHUNK_SHIFT $SHIFT," || die "$1 does not run at chunk shift $SHIFT"
}

build_drivers() {
    compile "$build/gmem-oracle" -O1 -fsanitize=address,undefined "${ours[@]/#/$here/}" "${harness_objects[@]}"
    check_shift "$build/gmem-oracle"
    local source
    for source in ../../../lib/xarray.c radix-tree.c ../../lib/{find_bit,bitmap,hweight,vsprintf}.c; do
        (cd "$harness" && "${CC:-cc}" -O2 -w -D_LGPL_SOURCE -include shared.h "${includes[@]/#/-I}" \
            -c "$source" -o "$build/fast-$(basename "$source" .c).o")
    done
    compile "$build/gmem-oracle-fast" -O2 -DORACLE_FAST "${ours[@]/#/$here/}" "$build"/fast-*.o
    check_shift "$build/gmem-oracle-fast"
    compile "$build/gmem-reproducers" -O2 -DORACLE_FAST "${judges[@]/#/$here/}" "$build"/fast-*.o
}

main() {
    mkdir -p "$build"
    exec 9>"$build/lock"
    flock 9
    install_packages
    local source stamp
    source=$(source_identity)
    stamp=$(echo "$source"; "${CC:-cc}" --version | head -1; cat "$here"/*.[ch] "$here"/reproducers/*.c "${BASH_SOURCE[0]}" | cksum)
    if [[ ! -e $build/stamp || $(<"$build/stamp") != "$stamp" ]]; then
        rm -f "$build/stamp"
        if [[ ! -e $build/source || $(<"$build/source") != "$source" ]]; then
            rm -f "$build/source"
            unpack
            echo "$source" >"$build/source"
        fi
        build_harness
        build_drivers
        echo "$stamp" >"$build/stamp"
    fi
    "$build/gmem-oracle" --version
    "$build/gmem-oracle-fast" --version
}

main "$@"
