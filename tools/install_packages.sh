#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs what is missing of the packages in tools/packages/LIST.txt. (root, Debian)
#
#   install_packages.sh LIST ...    asks first, on a terminal; not with YES=1, nor where there is no terminal
#   install_packages.sh -n LIST ... installs nothing; says what is missing, and then its exit code is 1
set -eu

cd "$(dirname "$0")/packages"

fail() {
	local code=$1
	shift
	printf '%s\n' "$*" >&2
	exit "$code"
}

# The version installed, or nothing.
installed() {
	dpkg-query -W -f='${db:Status-Status} ${Version}' "$1" 2> /dev/null | sed -n 's/^installed //p'
}

# find_missing LIST ...: fills missing
find_missing() {
	local list package least have
	missing=()
	for list in "$@"; do
		while read -r package least; do
			case $package in '' | '#'*) continue ;; esac
			have=$(installed "$package")
			if [ -n "$have" ] && { [ -z "$least" ] || dpkg --compare-versions "$have" ge "$least"; }; then
				continue
			fi
			missing+=("$package")
		done < "$list.txt"
	done
}

apt() { apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends "$@"; }
update() { apt update || fail 69 "the package lists cannot be had: is the network up?"; }

# What apt would do must not bring a mail server onto this host, or take its own away.
refuse_mail_servers() {
	local plan name
	plan=$(apt --simulate install "${missing[@]}")
	while read -r name; do
		if apt-cache show "$name" 2> /dev/null | grep -q '^Provides:.*mail-transport-agent'; then
			fail 69 "this would install or remove the mail server $name on this host, so nothing was installed"
		fi
	done < <(awk '$1 == "Inst" || $1 == "Remv" { print $2 }' <<< "$plan")
}

ask() {
	local answer
	[ -t 0 ] && [ -t 1 ] && [ "${YES:-0}" != 1 ] || return 0
	read -r -p 'Install them now? [y/N] ' answer
	case $answer in y | Y | yes) ;; *) fail 69 'Nothing was installed.' ;; esac
}

only_look=''
[ "${1:-}" != -n ] || { only_look=1; shift; }
[ $# -gt 0 ] || { sed -n 's/^#   //p' "../$(basename "$0")" >&2; exit 64; }
for list in "$@"; do
	[ -f "$list.txt" ] || fail 64 "tools/packages/$list.txt is not there"
done

command -v dpkg-query > /dev/null || fail 69 "this is no Debian: install by hand what tools/packages/ lists"
find_missing "$@"
[ ${#missing[@]} -gt 0 ] || exit 0
[ -z "$only_look" ] || fail 1 "missing: ${missing[*]}"
grep -qx 'ID="\?debian"\?' /etc/os-release || fail 69 "this is no Debian. Missing, to be installed by hand: ${missing[*]}"
[ "$(id -u)" = 0 ] || fail 77 "missing: ${missing[*]} (as root: apt-get install ${missing[*]})"

echo "to be installed, with what they need: ${missing[*]}"
ask
export DEBIAN_FRONTEND=noninteractive
# New package lists only where the old ones do not do.
apt --simulate install "${missing[@]}" > /dev/null 2>&1 || update
refuse_mail_servers
apt install "${missing[@]}" || true
find_missing "$@"
if [ ${#missing[@]} -gt 0 ]; then # files that the archive has no more, or a version that is too old
	update
	refuse_mail_servers
	apt install "${missing[@]}"
	find_missing "$@"
fi
[ ${#missing[@]} = 0 ] || fail 69 "too old in this host's package sources (is bookworm-security among them?): ${missing[*]}"
