/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Capture files, frame by frame: pcap and pcapng by libpcap, packed with gzip or not, from a file or a pipe. */
#ifndef SMTPWARD_CAPTURE_FILE_H
#define SMTPWARD_CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#define CAPTURE_ERROR_SIZE 512

struct capture_file;

struct capture_packet {
	uint64_t time_ns; /* since the epoch; what lies before it is 0 */
	const uint8_t *bytes; /* valid until the next one is read */
	uint32_t captured;
	uint32_t length; /* on the wire */
};

/* path: "-" is standard input. Returns NULL with one line in error, which does not name the file. */
struct capture_file *capture_file_open(const char *path, char error[CAPTURE_ERROR_SIZE]);
void capture_file_close(struct capture_file *file);

/* A DLT_* of libpcap's, and its name. */
int capture_file_link_type(const struct capture_file *file);
const char *capture_file_link_name(const struct capture_file *file);

/* Returns 1 with the next packet, 0 at the end of the file, -1 with one line in error where it cannot be read on. */
int capture_file_next(struct capture_file *file, struct capture_packet *packet, char error[CAPTURE_ERROR_SIZE]);

/* How much of the file has been read, in thousandths; -1: that cannot be told, as of a pipe. */
int capture_file_progress(const struct capture_file *file);

#endif
