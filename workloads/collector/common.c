// SPDX-License-Identifier: Apache-2.0
/* Lines to stdout, files, time. */
#include "collector.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char token[33];

/* What the engine does for a line (json-file; up to 16 KiB) it does for each, however short it is. No line of ours has a NUL: it stands
   between those that are handed over as one. harness/containers/running.py has them apart again. */
#define BATCH_BYTES 8000 /* and one more: a record of the kernel log has up to 8192 */
static size_t batch_bytes;

void emit(const char *format, ...)
{
	va_list ap;
	if (batch_bytes)
		putchar(batch_bytes < BATCH_BYTES ? 0 : '\n');
	if (batch_bytes >= BATCH_BYTES)
		batch_bytes = 0;
	va_start(ap, format);
	batch_bytes += vprintf(format, ap) + 1;
	va_end(ap);
}

void hand_over(void)
{
	if (batch_bytes)
		putchar('\n');
	batch_bytes = 0;
	fflush(stdout);
}

void die(const char *what)
{
	emit("C {\"event\":\"error\",\"what\":\"%s\",\"errno\":%d,\"reason\":\"%s\"}", what, errno, strerror(errno));
	hand_over();
	exit(1);
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
