#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the agent costs on this machine, in one run: prints it, and writes it to build/bench.json. Everything happens on
# the loopback interface of a network namespace and in cgroups of its own. (root; needs the agent, the CLI and the
# programs of tools/bench)
#
# ROUNDS and SESSIONS (a round, for each of agent off, monitoring, blocking) may be set.
set -eu

cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build}")
bench=$build/bench
rounds=${ROUNDS:-10}
sessions=${SESSIONS:-10000}
name=smtpward-bench-$$
server=192.0.2.1 # not in 127.0.0.0/8, where the policy demands nothing: each session in clear is a finding

fail() {
	printf 'bench: %s\n' "$*" >&2
	[ ! -s "${scratch:-}/agent.out" ] || cat "$scratch/agent.out" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "it makes network namespaces and loads BPF programs, and so must run as root"
for program in smtpwardd smtpward bench/packet bench/run_time; do
	[ -x "$build/$program" ] || fail "$build/$program is not built"
done

scratch=$(mktemp -d /tmp/smtpward-bench-XXXXXX)
own_mount='' mount='' agent='' sink=''

end() {
	[ -z "$agent" ] || kill "$agent" 2> /dev/null || true
	[ -z "$sink" ] || kill "$sink" 2> /dev/null || true
	wait 2> /dev/null || true
	ip netns delete "$name" 2> /dev/null || true
	[ -z "$mount" ] || rmdir "$mount/$name-watched" "$mount/$name-empty" 2> /dev/null || true
	[ -z "$own_mount" ] || umount "$own_mount" 2> /dev/null || true
	rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

make_cgroups() {
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	if [ -z "$mount" ]; then
		own_mount=$scratch/cgroup2
		mount=$own_mount
		mkdir "$mount"
		mount -t cgroup2 none "$mount"
	fi
	mkdir "$mount/$name-watched" "$mount/$name-empty"
}

make_network() {
	ip netns add "$name"
	ip -n "$name" link set lo up
	ip -n "$name" addr add "$server/32" dev lo
	# some hundred thousand connections to one port: enough ports, and used again after a second
	nsenter --net="/run/netns/$name" sh -c 'echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
		echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse'
}

# Postfix's load generator, unpacked but not installed.
fetch_load_generator() {
	tools/mta_root.sh fetch "$bench/postfix" postfix
	rm -rf "$bench/root"
	mkdir "$bench/root"
	for archive in "$bench"/postfix/archives/*.deb; do
		dpkg-deb -x "$archive" "$bench/root"
	done
	local run=(env "LD_LIBRARY_PATH=$bench/root/usr/lib/postfix")
	send=("${run[@]}" "$bench/root/usr/sbin/smtp-source" -s 10 -m "$sessions" "$server:25")
	receive=("${run[@]}" "$bench/root/usr/sbin/smtp-sink" -u nobody "$server:25" 1000)
}

# become COMMAND ...: in the namespace and in the watched cgroup, as everything is where the agent watches a host
become() {
	echo 0 > "$mount/$name-watched/cgroup.procs"
	exec nsenter --net="/run/netns/$name" "$@"
}

inside() { (become "$@"); }

# wait_for WHAT COMMAND ...: until the command succeeds
wait_for() {
	local what=$1
	shift
	for _ in $(seq 400); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	fail "$what"
}

smtpward() { "$build/smtpward" -s "$scratch/control.sock" "$@"; }
status() { smtpward -j status | tr -d ' \n' | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }

# start_agent MODE
start_agent() {
	cat > "$scratch/smtpward.yaml" <<- EOF
		mode: $1
		cgroup: $mount/$name-watched
		control_socket: $scratch/control.sock
		journal: off
		syslog:
		  enabled: false
		file:
		  path: $scratch/alerts
		metrics:
		  enabled: false
	EOF
	[ "$1" != block ] || cat >> "$scratch/smtpward.yaml" <<- EOF
		policy:
		  default:
		    require: encrypted
		    action: block
		  rules:
		    - to: $server
		      require: none
	EOF
	"$build/smtpwardd" -f -c "$scratch/smtpward.yaml" > "$scratch/agent.out" 2>&1 &
	agent=$!
	wait_for "the agent does not start" smtpward status
}

stop_agent() {
	lost=$((lost + $(status events_lost)))
	kill "$agent"
	wait "$agent" || fail "the agent failed"
	agent=''
}

# The agent has read the end of that many sessions.
all_is_read() { [ "$(status flows_closed)" -ge "$1" ] && [ "$(status used)" = 0 ]; }

wait_for_agent() {
	local seen
	for _ in $(seq 400); do
		! all_is_read "$sessions" || return 0
		sleep 0.05
	done
	seen="$(status flows_closed) sessions closed, $(status used) bytes in the ring"
	fail "the agent has not seen all of $sessions sessions: $seen"
}

# user and system time of the agent in clock ticks
agent_ticks() { sed 's/.*) //' "/proc/$agent/stat" | awk '{ print $12 + $13 }'; }

# rate FILE: sends, and appends sessions a second to FILE
rate() {
	local from
	from=$(date +%s%N)
	inside "${send[@]}" || fail "smtp-source failed"
	echo "$sessions $(($(date +%s%N) - from))" | awk '{ printf "%.1f\n", $1 * 1e9 / $2 }' >> "$scratch/$1"
}

measure_off() { rate off; }

measure_monitor() {
	local ticks
	start_agent monitor
	ticks=$(agent_ticks)
	rate monitor
	wait_for_agent
	agent_time=$((agent_time + $(agent_ticks) - ticks))
	[ "$(status cleartext-mail)" -ge "$sessions" ] || fail "not every session was a finding"
	stop_agent
}

measure_block() {
	start_agent block
	rate block
	wait_for_agent
	[ "$(status flows_blocked)" = 0 ] || fail "a flow was blocked that the policy permits"
	stop_agent
}

# Round by round, in turning order: what else the machine does, and what the run before left, meet all three alike.
measure_sessions() {
	local orders=("off monitor block" "monitor block off" "block off monitor")
	for ((round = 0; round < rounds; round++)); do
		for mode in ${orders[round % 3]}; do
			"measure_$mode"
		done
	done
}

# BPF statistics cost time themselves, so this is a run of its own.
measure_kernel_time() {
	start_agent monitor
	inside "$bench/run_time" "$mount/$name-watched" "${send[@]}" > "$scratch/kernel"
	stop_agent
}

measure_packets() {
	start_agent monitor
	nsenter --net="/run/netns/$name" "$bench/packet" "$mount/$name-watched" "$mount/$name-empty" > "$scratch/packets"
	[ "$(status segments_parsed)" -gt 10000 ] || fail "the agent has not read the commands"
	stop_agent
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); printf "%.0f", NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'; }
# ratio FILE FILE: the median of the rounds' ratios
ratio() { paste "$1" "$2" | awk '{ print $1 / $2 }' | sort -n |
	awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); printf "%.3f", NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'; }
packet() { awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$scratch/packets"; }
# packets COLUMN: the cases as JSON
packets() { awk -v column="$1" '{ printf "%s\"%s\":%s", separator, $1, $column; separator = "," }' "$scratch/packets"; }

lost=0 agent_time=0
make_cgroups
make_network
fetch_load_generator

echo "packets: four cases in turn ..."
measure_packets
echo "sessions: $rounds rounds of $sessions, three times each ..."
become "${receive[@]}" &
sink=$!
wait_for "smtp-sink does not start" nsenter --net="/run/netns/$name" bash -c ": < /dev/tcp/$server/25"
rate warm_up
measure_sessions
measure_kernel_time

kernel_us=$(awk -v n="$sessions" '{ printf "%.1f", $1 / 1000 / n }' "$scratch/kernel")
agent_us=$(awk -v ticks="$agent_time" -v hz="$(getconf CLK_TCK)" -v n="$((rounds * sessions))" \
	'BEGIN { printf "%.1f", ticks / hz * 1e6 / n }')
cat > "$build/bench.json" << EOF
{
  "packet_ns": {$(packets 2)},
  "packet_in_ns": {$(packets 3)},
  "sessions_per_s": {"off":$(median "$scratch/off"),"monitor":$(median "$scratch/monitor"),"block":$(median "$scratch/block")},
  "us_per_session": {"kernel":$kernel_us,"agent":$agent_us},
  "lost": $lost
}
EOF

cat "$build/bench.json"
# line WHAT VALUE AIM: the aim is a condition as awk writes it
line() {
	printf '%-46s %8s  aim %-8s %s\n' "$1" "$2" "$3" "$(awk "BEGIN { print ($2 $3) ? \"met\" : \"missed\" }")"
}
times_empty() { awk -v a="$(packet "$1" 2)" -v b="$(packet empty 2)" 'BEGIN { printf "%.2f", a / b }'; }
line "a packet that is not SMTP, times the empty one" "$(times_empty other)" "<= 1.3"
line "a packet in the TLS phase, times the empty one" "$(times_empty tls)" "<= 1.6"
for mode in off monitor block; do
	sort -n "$scratch/$mode" | awk -v mode="$mode" '{ v[NR] = $1 }
		END { printf "sessions/s, %s: %.0f to %.0f in %d rounds\n", mode, v[1], v[NR], NR }'
done
line "sessions/s, monitor to off (of pairs)" "$(ratio "$scratch/monitor" "$scratch/off")" ">= 0.95"
line "sessions/s, block to off (of pairs)" "$(ratio "$scratch/block" "$scratch/off")" ">= 0.95"
line "events lost" "$lost" "== 0"
