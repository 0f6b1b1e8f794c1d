// SPDX-License-Identifier: Apache-2.0
/* A guest that went on from a snapshot: it has the random state, the clock and the job of its first life. */
#include "collector.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* include/uapi/linux/random.h is not in musl's include path; these are ABI. */
#define RNDADDENTROPY 0x40085203
#define RNDRESEEDCRNG 0x5207
#define FW_CFG "/sys/firmware/qemu_fw_cfg/by_name/opt/org.oomtrial/"

static int add_entropy(void)
{
	struct {
		int entropy_count, size;
		unsigned char bytes[64];
	} pool = { 0 };
	int in = open(FW_CFG "seed/raw", O_RDONLY), out = open("/dev/urandom", O_WRONLY);
	ssize_t n = in < 0 ? -1 : read(in, pool.bytes, sizeof pool.bytes);
	int ok = 0;
	if (n > 0 && out >= 0) {
		pool.size = n;
		pool.entropy_count = 8 * n;
		/* RNDRESEEDCRNG: else the new bytes count only when the generator is reseeded by itself, minutes later */
		ok = !ioctl(out, RNDADDENTROPY, &pool) && !ioctl(out, RNDRESEEDCRNG);
	}
	close(in);
	close(out);
	return ok;
}

static int cmos(int index)
{
	outb(index, 0x70);
	return inb(0x71);
}

static int from_bcd(int value, int is_binary)
{
	return is_binary ? value : (value >> 4) * 10 + (value & 15);
}

/* The hardware clock (MC146818) keeps the host's time; the guest's clock stood still. Good to a second. */
static int set_clock(void)
{
	if (ioperm(0x70, 2, 1))
		return 0;
	struct tm now = { 0 };
	for (int again = -1; again != now.tm_sec;) {
		while (cmos(0x0a) & 0x80) /* being updated */
			;
		int binary = cmos(0x0b) & 4;
		now.tm_year = from_bcd(cmos(9), binary) + 100;
		now.tm_mon = from_bcd(cmos(8), binary) - 1;
		now.tm_mday = from_bcd(cmos(7), binary);
		now.tm_hour = from_bcd(cmos(4) & 0x7f, binary);
		now.tm_min = from_bcd(cmos(2), binary);
		now.tm_sec = from_bcd(cmos(0), binary);
		again = from_bcd(cmos(0), binary);
	}
	ioperm(0x70, 2, 0);
	struct timespec ts = { .tv_sec = timegm(&now) };
	return !clock_settime(CLOCK_REALTIME, &ts);
}

/* What the supervisor is to do; empty where nothing hands it over. */
static void read_job(char *job, size_t size)
{
	int fd = open(FW_CFG "job/raw", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, job, size - 1);
	close(fd);
	job[n > 0 ? n : 0] = 0;
	job[strcspn(job, "\n")] = 0;
}

void restore_guest(char *job, size_t size, char *woken_for)
{
	/* The clock and the random generator are set in guests of oomtrial only, never on another machine. */
	int is_guest = !access(FW_CFG "job/raw", F_OK);
	int entropy = is_guest && add_entropy(), clock = is_guest && set_clock();
	read_job(job, size);
	woken_for[0] = 0;
	sscanf(job, "%32s", woken_for);
	emit("C {\"event\":\"restored\",\"entropy\":%s,\"clock\":%s,\"time_s\":%lld,\"token\":\"%s\"}", entropy ? "true" : "false",
	     clock ? "true" : "false", (long long)time(NULL), woken_for);
}
