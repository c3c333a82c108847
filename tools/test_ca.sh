#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes a certificate authority for tests and server certificates signed by it: test_ca.sh DIR [NAME_OR_ADDRESS ...]
# DIR gets ca.pem, server.pem (its chain) and server.key; the names default to those that the tests use.
set -eu

[ $# -ge 1 ] || { echo "usage: test_ca.sh DIR [NAME_OR_ADDRESS ...]" >&2; exit 64; }
dir=$1
shift
[ $# -gt 0 ] || set -- server.example localhost 127.0.0.1 ::1 192.0.2.2 2001:db8::2
mkdir -p "$dir"

names=
for name in "$@"; do
	case $name in
	*:* | *[0-9].[0-9]*) kind=IP ;;
	*) kind=DNS ;;
	esac
	names="${names:+$names,}$kind:$name"
done

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=smtpward test CA" \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
	-keyout "$dir/ca.key" -out "$dir/ca.pem" 2> "$dir/openssl.log" || { cat "$dir/openssl.log" >&2; exit 1; }
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
	-keyout "$dir/server.key" -out "$dir/server.csr" 2>> "$dir/openssl.log"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names" > "$dir/server.ext"
openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
	-extfile "$dir/server.ext" -out "$dir/server.pem" 2>> "$dir/openssl.log"
rm -f "$dir/server.csr" "$dir/server.ext" "$dir/ca.srl"
