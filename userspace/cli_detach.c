/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `smtpward detach`: takes away what agents have left in the kernel. It needs no agent. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "blocked.h"
#include "cli.h"
#include "cli_client.h"
#include "cli_output.h"
#include "pins.h"
#include "tc_remove.h"

struct detaching {
	bool force;
	const char *cgroup; /* NULL: whatever there is */
	uint64_t cgroup_id; /* its number; 0: any */
	char prefix[32];    /* of the names of that attach point's folders; "": all */
	json_t *removed;
	int error; /* the first that there was; negative errno */
};

static bool is_link(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	return strncmp(name, PIN_LINK_PREFIX, strlen(PIN_LINK_PREFIX)) == 0 || strstr(path, "/" PIN_WITNESS_PREFIX);
}

/* bpf(2) itself: the command line needs no library for these two. */
static int bpf_call(enum bpf_cmd command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int get_pin(const char *path)
{
	union bpf_attr attributes = { .pathname = (__u64)(uintptr_t)path };
	return bpf_call(BPF_OBJ_GET, &attributes);
}

static void detach_link(int fd)
{
	union bpf_attr attributes = { .link_detach.link_fd = (__u32)fd };
	bpf_call(BPF_LINK_DETACH, &attributes);
}

/* A link is detached at once, whoever may hold it beside the pin. A uprobe's cannot be; it goes with its last holder. */
static void detach_pin(void *context, const char *path)
{
	struct detaching *detaching = context;
	bool link = is_link(path);
	int fd = link ? get_pin(path) : -1;
	if (fd >= 0) {
		detach_link(fd);
		close(fd);
	}
	json_array_append_new(detaching->removed, json_pack("{s:s,s:s}", "kind", link ? "hook" : "map", "path", path));
}

/* Calls each() with the folders that are meant, until it returns false. Returns how many others there are. */
static unsigned walk(struct detaching *detaching, bool (*each)(struct detaching *detaching, const char *folder))
{
	char folder[PIN_PATH_SIZE];
	unsigned others = 0;
	DIR *directory = opendir(PINS);
	if (!directory)
		return 0;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, BLOCKED_PIN))
			continue;
		snprintf(folder, sizeof(folder), PINS "/%s", entry->d_name);
		if (strncmp(entry->d_name, detaching->prefix, strlen(detaching->prefix)))
			others++;
		else if (!each(detaching, folder))
			break;
	}
	closedir(directory);
	return others;
}

/* ---- who is at work --------------------------------------------------------------------------------------- */

static bool refuse_folder(struct detaching *detaching, const char *folder)
{
	if (!pins_in_use(folder))
		return true;
	fprintf(stderr,
		"smtpward: an agent is at work (%s): detached now, it would run on and see nothing, and what it blocks\n"
		"would pass. End it first. If that is what you want: smtpward detach --force\n",
		folder);
	detaching->error = -EBUSY;
	return false;
}

static int refuse_beside_agent(struct detaching *detaching, const char *socket)
{
	walk(detaching, refuse_folder);
	if (!detaching->error && !detaching->cgroup && cli_agent_listens(socket))
		fprintf(stderr, "smtpward: an agent is at work (%s): end it, and nothing of it stays; or use --force\n", socket);
	else if (!detaching->error)
		return EX_OK;
	return EX_TEMPFAIL;
}

/* ---- the command ------------------------------------------------------------------------------------------ */

static int read_options(struct detaching *detaching, int argc, char **argv)
{
	static const struct option options[] = { { "force", no_argument, NULL, 'f' }, { "cgroup", required_argument, NULL, 'c' },
						 { 0 } };
	struct stat status;
	int option;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == 'f')
			detaching->force = true;
		else if (option == 'c')
			detaching->cgroup = optarg;
		else
			return cli_usage("detach takes --force and --cgroup PATH");
	}
	if (optind < argc)
		return cli_usage("detach takes --force and --cgroup PATH");
	if (!detaching->cgroup)
		return EX_OK;
	if (stat(detaching->cgroup, &status))
		return cli_usage("--cgroup needs the path of a cgroup: %s", strerror(errno));
	detaching->cgroup_id = status.st_ino;
	snprintf(detaching->prefix, sizeof(detaching->prefix), "%llu-", (unsigned long long)status.st_ino);
	return EX_OK;
}

static bool remove_folder(struct detaching *detaching, const char *folder)
{
	int error = pins_remove(folder, detach_pin, detaching);
	detaching->error = detaching->error ? detaching->error : error;
	return true;
}

static void note_filters(void *context, const char *interface)
{
	struct detaching *detaching = context;
	json_array_append_new(detaching->removed, json_pack("{s:s,s:s}", "kind", "filter", "path", interface));
}

static void remove_all(struct detaching *detaching)
{
	int error = tc_remove_all(detaching->cgroup_id, note_filters, detaching);
	unsigned others = walk(detaching, remove_folder);
	if (error && !detaching->error)
		detaching->error = error;
	if (!others) /* the flows that they blocked; the last of all */
		detaching->error = pins_remove(PINS, detach_pin, detaching);
}

static void print(const json_t *removed)
{
	json_t *entry;
	size_t index;
	json_array_foreach(removed, index, entry)
		out_format("%-6s  %s\n", member_text(entry, "kind"), member_text(entry, "path"));
	if (!json_array_size(removed))
		out_format("nothing was left\n");
}

static int report(const struct cli *cli, const struct detaching *detaching)
{
	if (cli->json) {
		json_t *answer = json_pack("{s:O}", "removed", detaching->removed);
		out_json(answer);
		json_decref(answer);
	} else {
		print(detaching->removed);
	}
	if (!detaching->error)
		return EX_OK;
	fprintf(stderr, "smtpward: not everything could be removed below " PINS ": %s\n", strerror(-detaching->error));
	return EX_OSERR;
}

int cli_detach(struct cli *cli, int argc, char **argv)
{
	struct detaching detaching = { 0 };
	int result = read_options(&detaching, argc, argv);
	if (result)
		return result;
	if (geteuid() != 0) {
		fprintf(stderr, "smtpward: detach is for root\n");
		return EX_NOPERM;
	}
	if (!detaching.force)
		result = refuse_beside_agent(&detaching, cli->socket);
	if (result)
		return result;
	detaching.removed = json_array();
	remove_all(&detaching);
	result = report(cli, &detaching);
	json_decref(detaching.removed);
	return result;
}
