#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the agent costs on this machine, in one run: prints it, and writes it to build/bench.json. Everything happens on
# the loopback interface of a network namespace and in cgroups of its own. (root; needs the agent, the CLI and the
# programs of tools/bench)
#
# ROUNDS may be set, and SESSIONS: how many a sample has, else as many as the machine does in SAMPLE_MS.
set -eu

cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build}")
bench=$build/bench
rounds=${ROUNDS:-10}
sessions=${SESSIONS:-2000}
SAMPLE_MS=1200
name=smtpward-bench-$$
server=192.0.2.1 # not in 127.0.0.0/8, where the policy demands nothing: each session in clear is a finding

fail() {
	printf 'bench: %s\n' "$*" >&2
	[ ! -s "${scratch:-}/agent.out" ] || cat "$scratch/agent.out" >&2
	exit 1
}

skip() {
	printf 'bench: skipped: %s\n' "$*" >&2
	exit 77
}

[ "$(id -u)" = 0 ] || skip "it makes network namespaces and loads BPF programs, and so must run as root"
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
	[ -z "$mount" ] || rmdir "$mount/$name"-{watched,empty,sink,agent} 2> /dev/null || true
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
	mkdir "$mount/$name"-{watched,empty,sink,agent}
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
	send=("${run[@]}" "$bench/root/usr/sbin/smtp-source" -s 10)
	receive=("${run[@]}" "$bench/root/usr/sbin/smtp-sink" -u nobody "$server:25" 1000)
}

# become WHO COMMAND ...: in that cgroup, and in the namespace
become() {
	echo 0 > "$mount/$name-$1/cgroup.procs"
	shift
	exec nsenter --net="/run/netns/$name" "$@"
}

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
	(echo 0 > "$mount/$name-agent/cgroup.procs" &&
		exec "$build/smtpwardd" -f -c "$scratch/smtpward.yaml" > "$scratch/agent.out" 2>&1) &
	agent=$!
	until smtpward status > /dev/null 2>&1; do
		kill -0 "$agent" 2> /dev/null || no_agent
		sleep 0.05
	done
}

# It has said why on its standard error.
no_agent() {
	local code=0
	wait "$agent" || code=$?
	agent=''
	case $code in
	69 | 77) skip "$(cat "$scratch/agent.out")" ;; # this kernel cannot; this user may not
	esac
	fail "the agent does not start"
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

# cpu_us WHO ...: the user and system time of these cgroups, in microseconds
cpu_us() {
	for who in "$@"; do cat "$mount/$name-$who/cpu.stat"; done | awk '$1 == "usage_usec" { sum += $2 } END { printf "%d", sum }'
}

# send_mail: one sample. Sets elapsed, in nanoseconds.
send_mail() {
	local from
	from=$(date +%s%N)
	(become watched "${send[@]}" -m "$sessions" "$server:25") || fail "smtp-source failed"
	elapsed=$(($(date +%s%N) - from))
}

# A smaller sample would measure how the programs start, and a larger one takes long on a slow machine.
choose_sessions() {
	send_mail # in which the sink grows to its size
	[ -z "${SESSIONS:-}" ] || return 0
	send_mail
	sessions=$((sessions * SAMPLE_MS * 1000 / (elapsed / 1000)))
}

# sample MODE: appends sessions a second, and what each costs in all, to the files of that mode
sample() {
	local cpu agent_cpu
	cpu=$(cpu_us watched sink agent)
	agent_cpu=$(cpu_us agent)
	send_mail
	[ -z "$agent" ] || wait_for_agent
	cpu=$(($(cpu_us watched sink agent) - cpu))
	agent_cpu=$(($(cpu_us agent) - agent_cpu))
	awk -v n="$sessions" -v ns="$elapsed" 'BEGIN { printf "%.1f\n", n * 1e9 / ns }' >> "$scratch/$1"
	awk -v n="$sessions" -v us="$cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/$1.cpu"
	awk -v n="$sessions" -v us="$agent_cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/$1.agent"
}

measure_off() { sample off; }

measure_monitor() {
	start_agent monitor
	sample monitor
	[ "$(status cleartext-mail)" -ge "$sessions" ] || fail "not every session was a finding"
	stop_agent
}

measure_block() {
	start_agent block
	sample block
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
	(become watched "$bench/run_time" "$mount/$name-watched" "${send[@]}" -m "$sessions" "$server:25") > "$scratch/kernel"
	stop_agent
}

measure_packets() {
	start_agent monitor
	nsenter --net="/run/netns/$name" "$bench/packet" "$mount/$name-watched" "$mount/$name-empty" > "$scratch/packets"
	[ "$(status segments_parsed)" -gt 10000 ] || fail "the agent has not read the commands"
	stop_agent
}

# median FORMAT: of the lines read
median() {
	sort -n | awk -v format="$1" '{ v[NR] = $1 }
		END { m = int((NR + 1) / 2); printf format, NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'
}
# modes FORMAT [SUFFIX]: the medians of the three modes as JSON
modes() {
	for mode in off monitor block; do
		printf '"%s":%s\n' "$mode" "$(median "$1" < "$scratch/$mode${2:-}")"
	done | paste -sd ,
}
# ratio FILE FILE: the median of the rounds' ratios
ratio() { paste "$scratch/$1" "$scratch/$2" | awk '{ print $1 / $2 }' | median %.3f; }
packet() { awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$scratch/packets"; }
# packets COLUMN: the cases as JSON
packets() { awk -v column="$1" '{ printf "%s\"%s\":%s", separator, $1, $column; separator = "," }' "$scratch/packets"; }

lost=0
make_cgroups
make_network
fetch_load_generator

echo "packets: four cases in turn ..."
measure_packets
# The sink stands for servers elsewhere: the agent does not see its side.
become sink "${receive[@]}" &
sink=$!
wait_for "smtp-sink does not start" nsenter --net="/run/netns/$name" bash -c ": < /dev/tcp/$server/25"
choose_sessions
echo "sessions: $rounds rounds of $sessions, three times each ..."
measure_sessions
measure_kernel_time

kernel_us=$(awk -v n="$sessions" '{ printf "%.1f", $1 / 1000 / n }' "$scratch/kernel")
agent_us=$(median %.1f < "$scratch/monitor.agent")
cat > "$build/bench.json" << EOF
{
  "packet_ns": {$(packets 2)},
  "sessions_per_s": {$(modes %.0f)},
  "us_per_session": {"kernel":$kernel_us,"agent":$agent_us},
  "lost": $lost,
  "packet_in_ns": {$(packets 3)},
  "cpu_us_per_session": {$(modes %.1f .cpu)}
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
line "sessions/s, monitor to off (median of rounds)" "$(ratio monitor off)" ">= 0.95"
line "sessions/s, block to off (median of rounds)" "$(ratio block off)" ">= 0.95"
line "events lost" "$lost" "== 0"
# Where other programs take part of the CPUs, sessions/s says more of them than of the agent; this holds all the same.
printf '%-46s %8s\n' "CPU time of all, off to monitor" "$(ratio off.cpu monitor.cpu)" \
	"CPU time of all, off to block" "$(ratio off.cpu block.cpu)"
