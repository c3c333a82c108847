#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs a mail server from Debian's packages without installing it: two of them cannot be installed side by side, and
# a host's own must not be touched. (root)
#
#   mta_root.sh fetch DIR PACKAGE ...   downloads the packages, and those they need that are missing here, into
#                                       DIR. Does nothing where DIR is complete already.
#   mta_root.sh enter DIR COMMAND ...   runs COMMAND in a mount namespace whose root is this host's with the
#                                       packages unpacked over it. What is written there goes to memory and is gone
#                                       with it. The accounts named in DIR/accounts exist there (lines of
#                                       "user NAME" or "group NAME").
set -eu

usage() {
	sed -n 's/^#   //p' "$0" >&2
	exit 64
}

# The archives of an apt run of its own: this host's dpkg and its caches are only read.
download() {
	apt-get -qq -y -o APT::Sandbox::User=root -o Dir::Cache::archives="$dir/archives" -o Debug::NoLocking=1 \
		--no-install-recommends --reinstall --download-only install "$@"
}

fetch() {
	stamp="$dir/packages"
	[ "$(cat "$stamp" 2> /dev/null || true)" != "$*" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir/archives/partial"
	download "$@" > "$dir/log" 2>&1 || { apt-get -qq update && download "$@"; } >> "$dir/log" 2>&1 ||
		{ cat "$dir/log" >&2; exit 1; }
	echo "$*" > "$stamp"
}

# Appends the accounts to copies of this host's files, in the new root.
add_accounts() {
	next=64001
	while read -r kind name; do
		grep -q "^$name:" "$root/etc/group" || echo "$name:x:$next:" >> "$root/etc/group"
		[ "$kind" = group ] || grep -q "^$name:" "$root/etc/passwd" ||
			echo "$name:x:$next:$next::/nonexistent:/usr/sbin/nologin" >> "$root/etc/passwd"
		next=$((next + 1))
	done < "$dir/accounts"
}

# Runs inside the new mount namespace.
enter_namespace() {
	mount -t tmpfs -o mode=755 tmpfs /mnt
	mkdir /mnt/upper /mnt/work /mnt/root
	root=/mnt/root
	mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay "$root"
	# a layer below / cannot be a second lower layer (ELOOP), so the archives are unpacked here, every time
	for archive in "$dir"/archives/*.deb; do
		# /lib is a directory in a package and a symbolic link here
		dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$root"
	done
	for tree in proc sys dev; do
		mount --rbind "/$tree" "$root/$tree"
	done
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	[ ! -f "$dir/accounts" ] || add_accounts
	exec chroot "$root" "$@"
}

[ $# -ge 3 ] || usage
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
case $verb in
fetch) fetch "$@" ;;
enter) exec unshare --mount --propagation private "$0" enter-namespace "$dir" "$@" ;;
enter-namespace) enter_namespace "$@" ;;
*) usage ;;
esac
