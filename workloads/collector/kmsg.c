// SPDX-License-Identifier: Apache-2.0
/* The kernel log, as records of /dev/kmsg. */
#include "collector.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int kmsg_fd = -1;

/* What was logged before is not read. */
void open_kmsg(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (kmsg_fd < 0 || lseek(kmsg_fd, 0, SEEK_END) < 0)
		die("cannot read /dev/kmsg");
}

/* Reads what is there, up to a record with `until` in its text; returns whether that came. A log that is written faster than it
   is read has no end: no more is read after `deadline`, of now_ms(). */
int drain_kmsg(const char *until, int64_t deadline)
{
	char record[8192 + 1];
	int found = 0;
	while (!found) {
		ssize_t n = read(kmsg_fd, record, sizeof record - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE) {
			/* the record to be read next was overwritten; the next read continues at the oldest one left */
			emit("C {\"event\":\"kmsg_overrun\"}");
			n = 0;
		} else if (n <= 0) {
			break;
		}
		record[n] = 0;
		char channel = 'K';
		for (char *line = strtok(record, "\n"); line; line = strtok(NULL, "\n")) {
			emit("%c %s", channel, line);
			if (channel == 'K' && until && strstr(line, until))
				found = 1;
			channel = 'k';
		}
		if (now_ms() >= deadline)
			break;
	}
	return found;
}

void mark(int round, const char *what)
{
	char text[160];
	int n = snprintf(text, sizeof text, "oomtrial: %s round %d %s\n", token, round, what);
	/* Unless it boots with printk.devkmsg=on the kernel takes ten lines in five seconds from each open file, and drops the
	   rest without a word: each mark has a file of its own. */
	if (write_file("/dev/kmsg", text))
		emit("C {\"event\":\"marker_failed\",\"where\":\"kmsg\",\"round\":%d,\"errno\":%d}", round, errno);
	mark_trace(round, text, n - 1);
}
