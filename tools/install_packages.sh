#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Installs what is missing of the packages in tools/packages/LIST.txt. (root, Debian)
#
#   install_packages.sh LIST ...    asks first, on a terminal; not with YES=1, nor where there is no terminal
set -eu

cd "$(dirname "$0")/packages"
[ $# -gt 0 ] || { sed -n 's/^#   //p' "../$(basename "$0")" >&2; exit 64; }

# The version installed, or nothing.
installed() {
	dpkg-query -W -f='${db:Status-Status} ${Version}' "$1" 2> /dev/null | sed -n 's/^installed //p'
}

missing=''
for list in "$@"; do
	while read -r package least; do
		case $package in '' | '#'*) continue ;; esac
		have=$(installed "$package")
		if [ -n "$have" ] && { [ -z "$least" ] || dpkg --compare-versions "$have" ge "$least"; }; then
			continue
		fi
		missing="$missing $package"
	done < "$list.txt"
done
[ -n "$missing" ] || exit 0

command -v apt-get > /dev/null || { echo "missing, and no apt-get to install them with:$missing" >&2; exit 69; }
[ "$(id -u)" = 0 ] || { echo "missing:$missing (install them as root: apt-get install$missing)" >&2; exit 77; }
echo "to be installed:$missing"
if [ -t 0 ] && [ -t 1 ] && [ "${YES:-0}" != 1 ]; then
	printf 'Install them now? [y/N] '
	read -r answer
	case $answer in y | Y | yes) ;; *) echo 'Nothing was installed.'; exit 69 ;; esac
fi

export DEBIAN_FRONTEND=noninteractive
install_them() {
	# shellcheck disable=SC2086 # a list of words
	apt-get -q -y --no-install-recommends install $missing
}
install_them > /dev/null 2>&1 || { apt-get -q update && install_them; }
