/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "capture_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pcap/pcap.h>
#include <zlib.h>

#include "capture_frame.h"

#define BUFFER_SIZE (256 * 1024)

struct capture_file {
	pcap_t *pcap;
	FILE *plain; /* a file that is not packed, else NULL; closed with pcap */
	gzFile zlib; /* else: unpacks, or reads what is not packed as it is; closed with pcap's stream */
	off_t size;  /* of the file, packed; 0: not known */
	bool unpacking_failed;
};

/* ---- a stream that unpacks -------------------------------------------------------------------------------- */

static ssize_t stream_read(void *cookie, char *buffer, size_t size)
{
	struct capture_file *file = cookie;
	int n = gzread(file->zlib, buffer, size < BUFFER_SIZE ? (unsigned)size : BUFFER_SIZE);
	int error = Z_OK;
	if (n <= 0) /* Z_BUF_ERROR: the packed data ends too early */
		gzerror(file->zlib, &error);
	if (n >= 0 && error == Z_OK)
		return n;
	file->unpacking_failed = true;
	errno = EIO;
	return -1;
}

static int stream_close(void *cookie)
{
	struct capture_file *file = cookie;
	int error = gzclose_r(file->zlib);
	file->zlib = NULL;
	return error == Z_OK ? 0 : -1;
}

/* What is not packed need not go through zlib; but only a file can be asked for its first bytes and read from there again. */
static bool is_plain_file(struct capture_file *file, int fd)
{
	struct stat status;
	uint8_t magic[2] = { 0 };
	if (fstat(fd, &status) || !S_ISREG(status.st_mode))
		return false;
	off_t at = lseek(fd, 0, SEEK_CUR);
	file->size = status.st_size;
	return at >= 0 && pread(fd, magic, sizeof(magic), at) >= 0 && !(magic[0] == 0x1f && magic[1] == 0x8b);
}

static bool open_zlib(struct capture_file *file, int fd)
{
	file->zlib = gzdopen(fd, "rb");
	if (!file->zlib)
		return false;
	gzbuffer(file->zlib, BUFFER_SIZE);
	return true;
}

static FILE *open_stream(struct capture_file *file, int fd)
{
	static const cookie_io_functions_t functions = { .read = stream_read, .close = stream_close };
	if (is_plain_file(file, fd)) {
		file->plain = fdopen(fd, "rb");
		if (file->plain)
			setvbuf(file->plain, NULL, _IOFBF, BUFFER_SIZE);
		else
			close(fd);
		return file->plain;
	}
	if (!open_zlib(file, fd)) {
		close(fd);
		return NULL;
	}
	FILE *stream = fopencookie(file, "rb", functions);
	if (!stream)
		gzclose_r(file->zlib);
	else
		setvbuf(stream, NULL, _IOFBF, BUFFER_SIZE);
	return stream;
}

static int open_descriptor(const char *path, char error[CAPTURE_ERROR_SIZE])
{
	struct stat status;
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", strerror(errno));
	} else if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", strerror(EISDIR));
		close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- the capture ------------------------------------------------------------------------------------------ */

static bool open_pcap(struct capture_file *file, FILE *stream, char error[CAPTURE_ERROR_SIZE])
{
	char reason[PCAP_ERRBUF_SIZE] = "";
	int first = getc(stream);
	if (first == EOF) { /* libpcap's own words for it are about bytes and dump files */
		snprintf(error, CAPTURE_ERROR_SIZE, file->unpacking_failed ? "it cannot be unpacked" : "it is empty");
		fclose(stream);
		return false;
	}
	ungetc(first, stream);
	file->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, reason);
	if (!file->pcap) {
		snprintf(error, CAPTURE_ERROR_SIZE, "it is no capture file that can be read: %s",
			 file->unpacking_failed ? "it cannot be unpacked" : reason);
		fclose(stream);
		return false;
	}
	return true;
}

struct capture_file *capture_file_open(const char *path, char error[CAPTURE_ERROR_SIZE])
{
	int fd = open_descriptor(path, error);
	if (fd < 0)
		return NULL;
	struct capture_file *file = calloc(1, sizeof(*file));
	FILE *stream = file ? open_stream(file, fd) : NULL;
	if (!stream) {
		snprintf(error, CAPTURE_ERROR_SIZE, "out of memory");
		free(file);
		return NULL;
	}
	if (!open_pcap(file, stream, error)) {
		free(file);
		return NULL;
	}
	if (!capture_link_is_known(capture_file_link_type(file))) {
		snprintf(error, CAPTURE_ERROR_SIZE, "frames of its link type (%s) cannot be read", capture_file_link_name(file));
		capture_file_close(file);
		return NULL;
	}
	return file;
}

void capture_file_close(struct capture_file *file)
{
	if (!file)
		return;
	pcap_close(file->pcap); /* the stream with it */
	free(file);
}

int capture_file_link_type(const struct capture_file *file)
{
	return pcap_datalink(file->pcap);
}

const char *capture_file_link_name(const struct capture_file *file)
{
	const char *name = pcap_datalink_val_to_name(capture_file_link_type(file));
	return name ? name : "unknown";
}

int capture_file_next(struct capture_file *file, struct capture_packet *packet, char error[CAPTURE_ERROR_SIZE])
{
	struct pcap_pkthdr *header;
	int result = pcap_next_ex(file->pcap, &header, &packet->bytes);
	if (result == PCAP_ERROR_BREAK)
		return 0;
	if (result != 1) {
		snprintf(error, CAPTURE_ERROR_SIZE, "%s", file->unpacking_failed ? "it cannot be unpacked further" : pcap_geterr(file->pcap));
		return -1;
	}
	packet->captured = header->caplen;
	packet->length = header->len > header->caplen ? header->len : header->caplen;
	/* with nanosecond precision, tv_usec has nanoseconds */
	bool is_sane = header->ts.tv_sec >= 0 && header->ts.tv_sec < 1LL << 33 && header->ts.tv_usec >= 0 && header->ts.tv_usec < 1000000000L;
	packet->time_ns = is_sane ? (uint64_t)header->ts.tv_sec * 1000000000U + (uint64_t)header->ts.tv_usec : 0;
	return 1;
}

int capture_file_progress(const struct capture_file *file)
{
	z_off64_t at = file->plain ? ftello(file->plain) : file->zlib ? gzoffset64(file->zlib) : -1;
	return file->size > 0 && at >= 0 ? (int)(at * 1000 / file->size) : -1;
}
