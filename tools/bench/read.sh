#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What `smtpward read` takes on a generated capture of mixed sessions, beside Suricata 7 and tshark on the same file: prints the
# member "read" of bench.json. Speeds are per second of processor time, since one of them has threads; starting up is in all.
# (root: the two are fetched and unpacked, not installed)
#
# READ_SESSIONS may be set (100000), and READ_OTHERS= for smtpward alone.
# shellcheck disable=SC1091
set -eu

cd "$(dirname "$0")/../.."
build=$(realpath "${BUILD:-build}")
sessions=${READ_SESSIONS:-100000}
others=${READ_OTHERS-suricata tshark}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/smtpward-read-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
fetched=$build/bench/others

say() { printf 'read: %s\n' "$*" >&2; }

# Suricata 7 is in the backports, which lie where this host's own archive does.
backports() {
	local codename
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk -v codename="$codename" '$2 == codename { print $1; exit }' |
		sed "s|.*|deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] & $codename-backports main|"
}

# fetch NAME SUITE-OPTION ...: the package and what it needs, once
fetch() {
	local name=$1 folder=$fetched/$1
	shift
	[ ! -e "$folder/packages" ] || return 0
	mkdir -p "$folder/archives/partial" "$folder/lists/partial"
	apt-get -qq -y -o APT::Sandbox::User=root -o Dir::Cache::archives="$folder/archives" -o Debug::NoLocking=1 \
		--no-install-recommends --reinstall --download-only "$@" install "$name" > "$folder/log" 2>&1 || return 1
	touch "$folder/packages"
}

fetch_suricata() {
	local folder=$fetched/suricata own
	[ ! -e "$folder/packages" ] || return 0
	mkdir -p "$folder/lists/partial" "$folder/sources"
	cp -r /etc/apt/sources.list.d/. "$folder/sources"
	[ ! -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$folder/sources/own.list"
	backports > "$folder/sources/backports.list"
	[ -s "$folder/sources/backports.list" ] || return 1
	own=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$folder/sources" -o "Dir::State::lists=$folder/lists")
	apt-get -qq "${own[@]}" -o APT::Sandbox::User=root update > "$folder/log" 2>&1 || return 1
	fetch suricata "${own[@]}" -t "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")-backports"
}

# take NAME COMMAND ...: runs it with the capture as its standard input, and writes the member of that name
take() {
	local name=$1 clock processor rss status
	shift
	say "$name ..."
	"$build/bench/run_once" "$@" 3> "$scratch/$name" > "$scratch/$name.out" 2> "$scratch/$name.err" < "$scratch/capture.pcap" || true
	read -r clock processor rss status < "$scratch/$name" || status=127
	if [ "$status" -gt "$([ "$name" = smtpward ] && echo 1 || echo 0)" ]; then
		say "$name failed:"
		tail -n 3 "$scratch/$name.err" >&2
		printf '"%s":null' "$name"
		return
	fi
	awk -v name="$name" -v size="$size" -v n="$sessions" -v clock="$clock" -v processor="$processor" -v rss="$rss" 'BEGIN {
		printf "\"%s\":{\"mb_per_s\":%.1f,\"sessions_per_s\":%.0f,\"rss_kb\":%d,\"seconds\":%.2f,\"cpu_s\":%.2f}", name,
			size / 1e6 / processor, n / processor, rss, clock, processor }'
}

take_suricata() {
	fetch_suricata || { say "Suricata cannot be fetched"; printf ',"suricata":null'; return; }
	cat > "$scratch/suricata.yaml" << EOF
%YAML 1.1
---
default-log-dir: /tmp
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [{smtp: {extended: yes}}, {tls: {extended: yes}}]}
app-layer: {protocols: {smtp: {enabled: yes, raw-extraction: no}, tls: {enabled: yes, detection-ports: {dp: 443}}}}
stream: {memcap: 512mb, reassembly: {memcap: 512mb, depth: 1mb}}
flow: {memcap: 512mb}
runmode: single
default-rule-path: /etc/suricata/rules
rule-files: ["*.rules"]
classification-file: /etc/suricata/classification.config
reference-config-file: /etc/suricata/reference.config
EOF
	printf ','
	# its root has no such files, but descriptors that are open lead to them
	take suricata tools/mta_root.sh enter "$fetched/suricata" sh -c 'suricata -c /dev/fd/4 --runmode single -k none -l /tmp \
		-r /dev/stdin && grep -c event_type /tmp/eve.json' 4< "$scratch/suricata.yaml"
	say "Suricata has told $(tail -n 1 "$scratch/suricata.out") events"
}

take_tshark() {
	fetch tshark || { say "tshark cannot be fetched"; printf ',"tshark":null'; return; }
	printf ','
	take tshark tools/mta_root.sh enter "$fetched/tshark" tshark -n -r /dev/stdin -T fields -e tcp.stream \
		-e smtp.req.command -e smtp.req.parameter -e smtp.response.code -e tls.handshake.version -e tls.handshake.ciphersuite \
		-e tls.handshake.extensions_server_name
}

size_and_sessions() {
	"$build/bench/captured" "$1" > "$scratch/$2"
	size=$(stat -c %s "$scratch/$2")
}

say "a capture of $sessions sessions ..."
size_and_sessions $((sessions / 10 + 1)) tenth.pcap
"$build/bench/run_once" "$build/smtpward" read "$scratch/tenth.pcap" 3> "$scratch/tenth" > /dev/null 2>&1 || true
rm -f "$scratch/tenth.pcap"
size_and_sessions "$sessions" capture.pcap
printf '"read":{'
take smtpward "$build/smtpward" read "$scratch/capture.pcap"
for other in $others; do
	"take_$other"
done
printf ',"sessions":%d,"mb":%.0f,"rss_kb_of_a_tenth":%d}\n' "$sessions" "$((size / 1000000))" "$(cut -d ' ' -f 3 "$scratch/tenth")"
