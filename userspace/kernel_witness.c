/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The witness's uprobes, on the very library files that senders map: those that the dynamic linker finds, from the start;
 * others (containers' copies, programs with OpenSSL inside) as they appear, for as long as anybody maps them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel_witness_pins.h"
#include "library_files.h"
#include "library_reader.h"
#include "library_search.h"
#include "seccomp_trial.h"
#include "witness.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "witness.skel.h"
#pragma GCC diagnostic pop

#define PROBES_MAX 18 /* on one file */
/* Files are read for so long at most: users may map as many as they like, and others' wait. */
#define PROCESS_MAX_S 5 /* of one process */
#define ROUND_MAX_S 30  /* of all of them */
/* Places for files that are not root's: else one user's copies would keep everybody's libraries out. */
#define USERS_FILES_MAX (WITNESS_LIBRARIES_MAX / 2)
#define OWNER_FILES_MAX (USERS_FILES_MAX / 2) /* of one user */

struct watched_file {
	struct kernel_library told;
	struct library_file_identity identity;
	struct bpf_link *links[PROBES_MAX];
	unsigned link_count;
	unsigned functions; /* that it has, a bit each */
	uid_t owner;
	bool lasting; /* the dynamic linker's: stays, mapped or not */
	bool mapped;  /* in the present round */
};

struct kernel_witness {
	struct witness_bpf *bpf;
	struct kernel_witness_state state;
	struct watched_file files[WITNESS_LIBRARIES_MAX];
	struct library_files strangers; /* without anything to watch */
	time_t until; /* CLOCK_MONOTONIC: no further file is read then */
	bool has_cookies;
	struct kernel *kernel;
	char pins[PIN_PATH_SIZE]; /* the folder of them */
	unsigned pin_round;       /* the kernel's, when the pins were last looked after */
	int library_reader; /* -1: it has ended */
};

/* ---- the probes ------------------------------------------------------------------------------------------- */

static const struct {
	enum library_function function;
	bool at_return;
	const char *program;
} probes[] = {
	{ LIBRARY_SSL_DO_HANDSHAKE, false, "openssl_handshake_entry" },
	{ LIBRARY_SSL_DO_HANDSHAKE, true, "openssl_handshake_return" },
	{ LIBRARY_SSL_GET_VERIFY_RESULT, false, "openssl_result_entry" },
	{ LIBRARY_SSL_GET_VERIFY_RESULT, true, "openssl_result_return" },
	{ LIBRARY_D2I_X509, false, "openssl_d2i_certificate" },
	{ LIBRARY_X509_VERIFY_CERT, false, "openssl_verify_entry" },
	{ LIBRARY_X509_VERIFY_CERT, true, "openssl_verify_return" },
	{ LIBRARY_GNUTLS_HANDSHAKE, false, "gnutls_handshake_entry" },
	{ LIBRARY_GNUTLS_HANDSHAKE, true, "gnutls_handshake_return" },
	{ LIBRARY_GNUTLS_CRT_IMPORT, false, "gnutls_import_certificate" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS, false, "gnutls_verify_entry" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS, true, "gnutls_verify_return" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS2, false, "gnutls_verify2_entry" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS2, true, "gnutls_verify_return" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS3, false, "gnutls_verify3_entry" },
	{ LIBRARY_GNUTLS_VERIFY_PEERS3, true, "gnutls_verify_return" },
	{ LIBRARY_GNUTLS_CHECK_HOSTNAME2, false, "gnutls_hostname_entry" },
	{ LIBRARY_GNUTLS_CHECK_HOSTNAME2, true, "gnutls_hostname_return" },
};

static void *destroy_link(void *link)
{
	bpf_link__destroy(link);
	return NULL;
}

/*
 * Closing a uprobe's link takes the kernel some tenths of a second, in which the agent may not stand still; in a thread for
 * each they take no longer together. The threads that are to be waited for are added to threads, if it is not NULL.
 */
static void detach(struct kernel_witness *witness, unsigned slot, pthread_t *threads, unsigned *count)
{
	struct watched_file *file = &witness->files[slot];
	if (witness->state.outlives_agent)
		witness_unpin(witness->pins, slot, file->link_count);
	for (unsigned i = 0; i < file->link_count; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, destroy_link, file->links[i]))
			bpf_link__destroy(file->links[i]);
		else if (threads)
			threads[(*count)++] = thread;
		else
			pthread_detach(thread);
	}
	memset(file, 0, sizeof(*file));
}

static int attach_one(struct kernel_witness *witness, struct watched_file *file, const char *path, unsigned probe, uint64_t offset,
		      unsigned index)
{
	struct bpf_program *program = bpf_object__find_program_by_name(witness->bpf->obj, probes[probe].program);
	LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = probes[probe].at_return,
		    .bpf_cookie = witness->has_cookies ? index : 0);
	if (file->link_count == PROBES_MAX)
		return -ENOSPC;
	struct bpf_link *link = bpf_program__attach_uprobe_opts(program, -1, path, (size_t)offset, &options);
	if (!link)
		return -errno;
	file->links[file->link_count++] = link;
	return 0;
}

/* So that they outlive the agent. Whether the kernel can do that is seen from the first. */
static void pin_file(struct kernel_witness *witness, unsigned slot)
{
	const struct watched_file *file = &witness->files[slot];
	for (unsigned i = 0; i < file->link_count && witness->state.outlives_agent; i++) {
		if (witness_pin(witness->pins, slot, i, bpf_link__fd(file->links[i]))) {
			witness->state.outlives_agent = false;
			pins_remove(witness->pins, NULL, NULL);
		}
	}
}

/* Entries of the library map before Linux 5.15, where a probe cannot tell which file it is in: see witness.bpf.c. */
#define OPENSSL_WITHOUT_COOKIES 0
#define GNUTLS_WITHOUT_COOKIES 1

static bool is_gnutls(const struct library *library)
{
	return library->offset[LIBRARY_GNUTLS_HANDSHAKE] != 0;
}

/* Without cookies libssl and libcrypto share an entry: each adds what it knows. */
static void add_layout(struct openssl_layout *layout, const struct library *library)
{
	struct openssl_layout ssl = *layout;
	if (library->offset[LIBRARY_X509_VERIFY_CERT])
		*layout = library->layout;
	if (!library->offset[LIBRARY_SSL_DO_HANDSHAKE]) {
		layout->verify_mode = ssl.verify_mode;
		layout->is_server = ssl.is_server;
	} else {
		layout->verify_mode = library->layout.verify_mode;
		layout->is_server = library->layout.is_server;
	}
}

/* What the probes of slot have to know of their file. Returns the entry's index, or a negative errno. */
static int describe(struct kernel_witness *witness, unsigned slot, const struct library *library)
{
	struct witness_library_state state = { .library = 0 };
	int map = bpf_map__fd(witness->bpf->maps.libraries);
	__u32 index = slot;
	if (!witness->has_cookies) {
		index = is_gnutls(library) ? GNUTLS_WITHOUT_COOKIES : OPENSSL_WITHOUT_COOKIES;
		bpf_map_lookup_elem(map, &index, &state);
	}
	state.library = is_gnutls(library) ? WITNESS_GNUTLS : WITNESS_OPENSSL;
	if (library->offset[LIBRARY_SSL_DO_HANDSHAKE]) {
		state.text_before = library->text_before;
		state.text_after = library->text_after;
		state.partner = index + 1;
	}
	add_layout(&state.layout, library);
	return bpf_map_update_elem(map, &index, &state, BPF_ANY) ? -errno : (int)index;
}

/*
 * The file behind fd into a slot. By the descriptor's path: whatever a name in some container leads to by then, it is
 * this file that was read.
 */
static int attach(struct kernel_witness *witness, unsigned slot, int fd, const struct library *library)
{
	char path[64];
	int error = 0, index = describe(witness, slot, library);
	if (index < 0)
		return index;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (unsigned i = 0; i < sizeof(probes) / sizeof(probes[0]) && !error; i++) {
		uint64_t offset = library->offset[probes[i].function];
		if (offset)
			error = attach_one(witness, &witness->files[slot], path, i, offset, (unsigned)index);
	}
	return error;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static struct watched_file *watched(struct kernel_witness *witness, const struct library_file_identity *identity)
{
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++) {
		if (witness->files[i].link_count && library_file_is(&witness->files[i].identity, identity))
			return &witness->files[i];
	}
	return NULL;
}

/* Which functions a file has, a bit each. */
static unsigned functions_of(const struct library *library)
{
	unsigned functions = 0;
	for (unsigned i = 0; i < LIBRARY_FUNCTION_COUNT; i++)
		functions |= library->offset[i] ? 1U << i : 0;
	return functions;
}

/*
 * The slot for a file that is new; -ENOSPC: all are taken; -EDQUOT: those for users' files, or for this one's. Without cookies
 * there can be one file only with each function: -ENOENT.
 */
static int free_slot(const struct kernel_witness *witness, const struct library *library, uid_t owner)
{
	unsigned users = 0, owners = 0;
	int slot = -ENOSPC;
	for (int i = WITNESS_LIBRARIES_MAX - 1; i >= 0; i--) {
		const struct watched_file *file = &witness->files[i];
		if (!file->link_count) {
			slot = i;
			continue;
		}
		if (!witness->has_cookies && file->functions & functions_of(library))
			return -ENOENT;
		users += file->owner != 0;
		owners += file->owner == owner;
	}
	return owner != 0 && (users >= USERS_FILES_MAX || owners >= OWNER_FILES_MAX) ? -EDQUOT : slot;
}

static bool same_folder(const char *a, const char *b)
{
	const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
	return end_a && end_b && end_a - a == end_b - b && memcmp(a, b, (size_t)(end_a - a)) == 0;
}

/* A libcrypto and the libssl beside it: what is known of a check has to be told of the libssl's session. */
static void pair(struct kernel_witness *witness, unsigned slot)
{
	const unsigned ssl = 1U << LIBRARY_SSL_DO_HANDSHAKE, crypto = 1U << LIBRARY_X509_VERIFY_CERT;
	int map = bpf_map__fd(witness->bpf->maps.libraries);
	struct witness_library_state state;
	for (unsigned i = 0; witness->has_cookies && i < WITNESS_LIBRARIES_MAX; i++) {
		const struct watched_file *a = &witness->files[slot], *b = &witness->files[i];
		bool is_ssl = (a->functions & (ssl | crypto)) == ssl && (b->functions & (ssl | crypto)) == crypto;
		bool is_crypto = (a->functions & (ssl | crypto)) == crypto && (b->functions & (ssl | crypto)) == ssl;
		__u32 index = is_ssl ? i : slot;
		if (!b->link_count || !(is_ssl || is_crypto) || !same_folder(a->told.path, b->told.path) ||
		    bpf_map_lookup_elem(map, &index, &state))
			continue;
		state.partner = (is_ssl ? slot : i) + 1;
		bpf_map_update_elem(map, &index, &state, BPF_ANY);
	}
}

static void tell(struct watched_file *file, const struct library *library, const char *name)
{
	struct kernel_library *told = &file->told;
	snprintf(told->path, sizeof(told->path), "%s", name);
	told->gnutls = is_gnutls(library);
	told->readable = !library->offset[LIBRARY_X509_VERIFY_CERT] || library->layout.known;
	file->functions = functions_of(library);
}

static int read_library(struct kernel_witness *witness, int fd, struct library *library)
{
	int result = witness->library_reader < 0 ? -EPIPE : library_reader_ask(witness->library_reader, fd, library);
	if (result == -EPIPE) {
		witness->library_reader = -1;
		snprintf(witness->state.error, sizeof(witness->state.error), "the reader of library files has ended: no others are watched");
	}
	return result;
}

static void note_failure(struct kernel_witness *witness, int error)
{
	witness->state.failed++;
	snprintf(witness->state.error, sizeof(witness->state.error), "%llu library files are not watched: %s",
		 (unsigned long long)witness->state.failed,
		 error == -ENOSPC ? "there are too many" :
		 error == -EDQUOT ? "users have too many of their own" :
				    strerror(-error));
}

static time_t seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Takes in the file behind fd, which is known as name to whoever maps it. */
static void consider(void *context, int fd, const char *name, bool lasting)
{
	struct kernel_witness *witness = context;
	struct library library;
	struct stat status;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return;
	struct library_file_identity identity = library_file_identity(&status);
	struct watched_file *known = watched(witness, &identity);
	if (known) {
		known->mapped = true;
		known->lasting |= lasting;
		return;
	}
	if (library_files_have(&witness->strangers, &identity) || seconds_now() >= witness->until)
		return;
	int slot = read_library(witness, fd, &library) == 0 ? free_slot(witness, &library, status.st_uid) : -ENOENT;
	int error = slot >= 0 ? attach(witness, (unsigned)slot, fd, &library) : slot;
	if (error) {
		if (slot >= 0)
			detach(witness, (unsigned)slot, NULL, NULL);
		if (error != -ENOENT)
			note_failure(witness, error);
		library_files_add(&witness->strangers, &identity);
		return;
	}
	struct watched_file *file = &witness->files[slot];
	file->identity = identity;
	file->owner = status.st_uid;
	file->lasting = lasting;
	file->mapped = true;
	tell(file, &library, name);
	pair(witness, (unsigned)slot);
	pin_file(witness, (unsigned)slot);
}

/* ---- open and close --------------------------------------------------------------------------------------- */

/* The maps of the socket hooks, wherever the two objects have one of the same name. */
static int share_maps(struct kernel *kernel, struct witness_bpf *bpf)
{
	struct bpf_map *map;
	bpf_object__for_each_map(map, bpf->obj) {
		struct bpf_map *shared = bpf_object__find_map_by_name(kernel->bpf->obj, bpf_map__name(map));
		if (shared && bpf_map__reuse_fd(map, bpf_map__fd(shared)))
			return -errno;
	}
	return 0;
}

static int load(struct kernel *kernel, struct kernel_witness *witness)
{
	witness->bpf = witness_bpf__open();
	if (!witness->bpf)
		return -errno;
	witness->has_cookies = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie, NULL) == 1;
	witness->bpf->rodata->has_cookies = witness->has_cookies;
	int error = share_maps(kernel, witness->bpf);
	return error ? error : witness_bpf__load(witness->bpf);
}

static const struct kernel_witness_state *fail(struct kernel_witness *witness, const char *text, int error)
{
	snprintf(witness->state.error, sizeof(witness->state.error), "%s%s%s", text, error ? ": " : "",
		 error ? strerror(error) : "");
	return &witness->state;
}

/* The mode, and with it what is pinned, is changed by another thread: here it is looked after. */
static void look_after_pins(struct kernel_witness *witness)
{
	unsigned round = witness->kernel->pin_round;
	witness_pins_follow(witness->kernel, witness->pins);
	if (round == witness->pin_round)
		return;
	witness->pin_round = round;
	witness->state.outlives_agent = PIN_ROUND_IS_PINNED(round);
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++)
		pin_file(witness, i);
}

static const struct kernel_witness_state *start(struct kernel *kernel, struct kernel_witness *witness)
{
	int error = load(kernel, witness);
	if (error)
		return fail(witness, "its BPF object does not load", -error);
	if (!uretprobe_survives_seccomp(witness->bpf->progs.witness_trial))
		return fail(witness, "this kernel kills processes under seccomp that meet a uretprobe, or has no uprobes", 0);
	witness->state.active = true;
	witness->until = seconds_now() + ROUND_MAX_S;
	library_search_linker(consider, witness);
	library_search_processes(consider, witness);
	look_after_pins(witness);
	kernel->settings.witness = 1;
	error = kernel_write_settings(kernel);
	return error ? fail(witness, "the settings cannot be written", -error) : &witness->state;
}

void kernel_witness_open(struct kernel *kernel, const struct config *config)
{
	kernel->witness = config->identity.witness ? calloc(1, sizeof(*kernel->witness)) : NULL;
	if (kernel->witness) {
		kernel->witness->kernel = kernel;
		kernel->witness->library_reader = kernel->library_reader;
		witness_pins_place(kernel, kernel->witness->pins);
		start(kernel, kernel->witness);
	}
	witness_pins_drop_others(kernel, kernel->witness ? kernel->witness->pins : "");
}

/* The links' descriptors go with the process; libbpf would switch the probes off. */
static void leave_pinned(struct kernel_witness *witness)
{
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++) {
		for (unsigned j = 0; j < witness->files[i].link_count; j++) {
			bpf_link__disconnect(witness->files[i].links[j]);
			bpf_link__destroy(witness->files[i].links[j]);
		}
		witness->files[i].link_count = 0;
	}
}

void kernel_witness_close(struct kernel *kernel, bool leave)
{
	struct kernel_witness *witness = kernel->witness;
	if (!witness)
		return;
	if (leave && witness->state.outlives_agent)
		leave_pinned(witness);
	pthread_t threads[WITNESS_LIBRARIES_MAX * PROBES_MAX];
	unsigned count = 0;
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++)
		detach(witness, i, threads, &count);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	witness_bpf__destroy(witness->bpf);
	free(witness);
	kernel->witness = NULL;
}

/* ---- at work ---------------------------------------------------------------------------------------------- */

void kernel_witness_sender(struct kernel *kernel, uint32_t pid)
{
	char text[16];
	if (!kernel->witness || !kernel->witness->state.active)
		return;
	snprintf(text, sizeof(text), "%u", pid);
	look_after_pins(kernel->witness);
	kernel->witness->until = seconds_now() + PROCESS_MAX_S;
	library_search_process(text, consider, kernel->witness);
}

/* There is room for a file that had found none. */
static void forget_strangers(struct kernel_witness *witness)
{
	memset(&witness->strangers, 0, sizeof(witness->strangers));
	witness->state.failed = 0;
	if (witness->library_reader >= 0)
		witness->state.error[0] = 0;
}

void kernel_witness_tidy(struct kernel *kernel)
{
	struct kernel_witness *witness = kernel->witness;
	bool needed = false, room = false;
	if (!witness || !witness->state.active)
		return;
	look_after_pins(witness);
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++)
		witness->files[i].mapped = witness->files[i].lasting = false;
	witness->until = seconds_now() + ROUND_MAX_S;
	library_search_linker(consider, witness); /* an update puts another file in a library's place */
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++)
		needed |= witness->files[i].link_count && !witness->files[i].lasting;
	if (!needed || !library_search_processes(consider, witness))
		return;
	for (unsigned i = 0; i < WITNESS_LIBRARIES_MAX; i++) {
		if (!witness->files[i].link_count || witness->files[i].lasting || witness->files[i].mapped)
			continue;
		detach(witness, i, NULL, NULL);
		room = true;
	}
	if (room)
		forget_strangers(witness);
}

const struct kernel_witness_state *kernel_witness_state(const struct kernel *kernel)
{
	return kernel->witness ? &kernel->witness->state : NULL;
}

const struct kernel_library *kernel_witness_library(const struct kernel *kernel, unsigned *position)
{
	while (kernel->witness && *position < WITNESS_LIBRARIES_MAX) {
		const struct watched_file *file = &kernel->witness->files[(*position)++];
		if (file->link_count)
			return &file->told;
	}
	return NULL;
}
