#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Makes a certificate authority for tests and server certificates signed by it: test_ca.sh DIR [NAME_OR_ADDRESS ...]
# DIR gets ca.pem, server.pem (its chain) and server.key; the names default to those that the tests use. Beside them,
# NAME.pem (what the server sends) and NAME.key for one certificate of each kind that a client meets:
#
#   good                  issued through an intermediate authority, which is sent along
#   missing-intermediate  the same without the intermediate
#   wrong-name            for other.example only
#   expired, not-yet-valid
#   self-signed
#   unknown-ca            issued by an authority that no client trusts
#   weak-key              RSA with 1024 bits
#   weak-signature        signed with SHA-1
#   cn-only               no subjectAltName, but the name as CN
#   wildcard              for *.server.example
#   wide-wildcard         for *.example: right under a top-level domain, which the libraries take for no name at all
set -eu

[ $# -ge 1 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed 1,1d >&2; exit 64; }
dir=$1
shift
[ $# -gt 0 ] || set -- server.example localhost 127.0.0.1 ::1 192.0.2.2 2001:db8::2
subject=$1
mkdir -p "$dir/new"
dir=$(cd "$dir" && pwd)

names=
for name in "$@"; do
	case $name in
	*:* | *[0-9].[0-9]*) kind=IP ;;
	*) kind=DNS ;;
	esac
	names="${names:+$names,}$kind:$name"
done

run() {
	openssl "$@" > "$dir/openssl.log" 2>&1 || { cat "$dir/openssl.log" >&2; exit 1; }
}

# `openssl ca`, because only it takes a date in the past or the future.
cat > "$dir/ca.cnf" << END
[ca]
default_ca = test
[test]
database = $dir/index
new_certs_dir = $dir/new
unique_subject = no
email_in_dn = no
rand_serial = yes
policy = any
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
END
: > "$dir/index"

day() {
	date -u -d "$1 days" +%y%m%d%H%M%SZ
}

make_ca() {
	run req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$2" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
		-keyout "$dir/$1.key" -out "$dir/$1.pem"
}

# issue NAME ISSUER EXTENSIONS [SUBJECT [OPTION ...]]: NAME.pem and, where there is none, NAME.key
issue() {
	certificate=$1 issuer=$2
	printf '%b\n' "$3" > "$dir/extensions"
	cn=${4:-$subject}
	if [ $# -lt 4 ]; then shift 3; else shift 4; fi
	[ -f "$dir/$certificate.key" ] || run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$certificate.key"
	run req -new -config "$dir/ca.cnf" -key "$dir/$certificate.key" -subj "/CN=$cn" -out "$dir/request"
	run ca -batch -notext -config "$dir/ca.cnf" -cert "$dir/$issuer.pem" -keyfile "$dir/$issuer.key" -md sha256 -days 30 \
		-extfile "$dir/extensions" -in "$dir/request" -out "$dir/$certificate.pem" "$@"
}

server="extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid"
named="subjectAltName=$names\n$server"
rm -f "$dir"/*.key

make_ca ca "smtpward test CA"
issue server ca "$named"

issue intermediate ca "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign" \
	"smtpward test intermediate CA"
issue good intermediate "$named"
cp "$dir/good.pem" "$dir/missing-intermediate.pem"
cp "$dir/good.key" "$dir/missing-intermediate.key"
cat "$dir/intermediate.pem" >> "$dir/good.pem"

issue wrong-name ca "subjectAltName=DNS:other.example\n$server" other.example
issue expired ca "$named" "" -startdate "$(day -20)" -enddate "$(day -10)"
issue not-yet-valid ca "$named" "" -startdate "$(day +10)" -enddate "$(day +20)"
make_ca other-ca "Some other CA"
issue unknown-ca other-ca "$named"
run genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$dir/weak-key.key"
issue weak-key ca "$named"
issue weak-signature ca "$named" "" -md sha1
issue cn-only ca "$server"
issue wildcard ca "subjectAltName=DNS:*.$subject\n$server" "*.$subject"
issue wide-wildcard ca "subjectAltName=DNS:*.${subject#*.}\n$server" "*.${subject#*.}"
run req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$subject" \
	-addext "subjectAltName=$names" -addext extendedKeyUsage=serverAuth -keyout "$dir/self-signed.key" -out "$dir/self-signed.pem"

rm -rf "$dir/new" "$dir"/index* "$dir/ca.cnf" "$dir/extensions" "$dir/request" "$dir/openssl.log"
