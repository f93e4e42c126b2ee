#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Gets a packaged kernel and builds the only process that it will run.
#
#   tests/kernel/build.sh                              the newest 6.12 of Debian's linux-image-…-cloud-amd64
#   KERNEL_IMAGE=/path/to/vmlinuz tests/kernel/build.sh     a kernel of yours, or a .deb that holds one
#
# Results, in the git-ignored tests/kernel/build/: `vmlinuz`, `root/init` (static), and `image`, which names the kernel.
# The package is unpacked there, not installed: this machine's own kernels stay as they are.
set -euo pipefail

readonly SERIES=6.12
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here build=$here/build

die() {
    echo "kernel: $*" >&2
    exit 1
}

# Prints the names of the Debian packages that are missing.
missing_packages() {
    command -v qemu-system-x86_64 >/dev/null || echo qemu-system-x86
    command -v cpio >/dev/null || echo cpio
    command -v "${CC:-cc}" >/dev/null || echo gcc
    echo 'int main(void) { return 0; }' | "${CC:-cc}" -static -x c -o /dev/null - 2>/dev/null || echo libc6-dev
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        die "missing ${packages[*]}: apt-get install ${packages[*]} as root"
    fi
    echo "kernel: installing ${packages[*]}" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"; } \
        >"$build/apt.log" 2>&1 || die "could not install ${packages[*]}, see $build/apt.log"
}

# Prints the package that the series' meta-package stands for.
package() {
    local meta
    for meta in linux-image-$SERIES-cloud-amd64 linux-image-cloud-amd64; do
        apt-cache depends "$meta" 2>/dev/null | sed -nE "s/^ *Depends: (linux-image-${SERIES//./\\.}[^ ]*)$/\1/p"
    done | head -n 1
}

# unpack DEB: puts its kernel into build/vmlinuz.
unpack() {
    dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './boot/vmlinuz*' >"$build/vmlinuz.new"
    mv "$build/vmlinuz.new" "$build/vmlinuz"
}

get_image() {
    local name
    if [[ -n ${KERNEL_IMAGE:-} ]]; then
        [[ -r $KERNEL_IMAGE ]] || die "KERNEL_IMAGE=$KERNEL_IMAGE cannot be read"
        name=$KERNEL_IMAGE
        case $KERNEL_IMAGE in
            *.deb) unpack "$KERNEL_IMAGE" ;;
            *) cp -- "$KERNEL_IMAGE" "$build/vmlinuz" ;;
        esac
    else
        command -v apt-get >/dev/null || die "there is no apt-get to get a kernel with: set KERNEL_IMAGE=/path/to/vmlinuz"
        name=$(package)
        [[ -n $name ]] || die "Debian's linux-image of $SERIES for amd64 is not to be had: set KERNEL_IMAGE=/path/to/vmlinuz"
        [[ ! -e $build/vmlinuz || $(cat "$build/image" 2>/dev/null) != "$name" ]] || return 0
        rm -f "$build"/*.deb
        echo "kernel: getting $name" >&2
        (cd "$build" && apt-get download "$name") >"$build/apt.log" 2>&1 || die "could not get $name, see $build/apt.log"
        unpack "$build"/linux-image-*.deb
        rm -f "$build"/*.deb
    fi
    echo "$name" >"$build/image"
}

main() {
    mkdir -p "$build/root"
    exec 9>"$build/lock"
    flock 9
    install_packages
    get_image
    "${CC:-cc}" -O2 -std=gnu11 -Wall -Wextra -Werror -static -o "$build/root/init" "$here/init.c"
}

main "$@"
