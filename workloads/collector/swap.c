// SPDX-License-Identifier: Apache-2.0
/* Swap: the first zram device, with the header that mkswap writes (include/linux/swap.h, union swap_header). */
#include "collector.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/swap.h>
#include <unistd.h>

static int set_zram(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof path, "/sys/block/zram0/%s", name);
	return write_file(path, value);
}

int request_swap(long long bytes)
{
	static uint32_t header[1024]; /* a page */
	char text[32];
	swapoff("/dev/zram0");
	snprintf(text, sizeof text, "%lld", bytes);
	if (set_zram("reset", "1") || set_zram("disksize", text))
		return 0;
	header[256] = 1; /* version */
	header[257] = (uint32_t)(bytes / 4096 - 1); /* last page */
	memcpy((char *)header + 4096 - 10, "SWAPSPACE2", 10);
	int fd = open("/dev/zram0", O_WRONLY | O_CLOEXEC);
	int ok = fd >= 0 && write(fd, header, sizeof header) == sizeof header && !fsync(fd);
	close(fd);
	ok = ok && !swapon("/dev/zram0", 0);
	emit("C {\"event\":\"swap\",\"bytes\":%lld,\"errno\":%d}", bytes, ok ? 0 : errno);
	return ok;
}
