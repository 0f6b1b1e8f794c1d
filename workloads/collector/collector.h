/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the collector share. */
#ifndef COLLECTOR_H
#define COLLECTOR_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TRACEFS "/oomtrial-tracefs"
#define CGROUPFS "/host/cgroup"
#define OURS "/oomtrial/" /* the cgroup-parent of every container that has parents; harness/containers/running.py */
#define PATH_BYTES 4096
#define FILE_BYTES (PATH_BYTES + 256) /* of a path of a memcg and the name of a file or directory in it */

/* -- common.c */

extern char token[33]; /* of the trial: in the markers */
/* Prints a line, of which the first letter is its channel. */
void emit(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Emits an error with errno, and ends the collector. `what` is put into JSON as it is. */
void die(const char *what) __attribute__((noreturn));
/* 0, or -1 with errno. */
int write_file(const char *path, const char *text);
int64_t now_ms(void);

/* -- restore.c: a guest that went on from a snapshot */

/* Takes what this life of the guest was given: random bytes, the time, and what the supervisor is to do, empty where nobody
   says so. Writes the trial's token to `woken_for`, which is as large as `token`. */
void restore_guest(char *job, size_t size, char *woken_for);

/* -- trace.c: the trace instance */

enum probes { NO_PROBES, KILL_PROBES, ALL_PROBES };
void open_trace(const char *collector, enum probes wanted, const char *buffer_kb);
void close_trace(void);
/* 0 when there is a trace that cannot be turned on. */
int start_trace(void);
void stop_trace(void);
void mark_trace(int round, const char *text, size_t size);
void drain_trace(void);
void report_losses(int round);

/* -- kmsg.c: the kernel log */

#define DRAIN_MS 2000
extern int kmsg_fd;
void open_kmsg(void);
int drain_kmsg(const char *until, int64_t deadline);
/* Writes a round's marker to kernel log and trace. */
void mark(int round, const char *what);

/* -- memcg.c: the memcg of the container under test, and those around it */

extern char memcg_dir[PATH_BYTES]; /* of the container under test */
extern char top_dir[PATH_BYTES];   /* whose files are read: the same, or its parent if that holds more containers */
extern int v1;                     /* the container's memory controller is on a hierarchy of cgroup v1 */
int find_memcg(pid_t pid);
int directory_at(int level, char *directory, size_t size);
int directory_beside(const char *container, char *directory, size_t size);
int write_beside(const char *container, const char *name, const char *value);
int move_to_container(pid_t pid, const char *container);
void memcg_file(int round, const char *when, const char *name);
void snapshot(int round, const char *when);
long long number_in(const char *directory, const char *name, const char *key);
long long memcg_usage(void);
void reclaim(long long bytes);

/* -- machine.c: the machine as a limit */

extern long long machine_bytes; /* what the hogs have of it; 0: other limits hold them */
/* 0 when the ballast cannot be had. */
int take_ballast(void);
void release_ballast(void);
/* The machine is no limit any more. */
void forget_machine(void);
/* What the hogs have taken of it; below 0 too when they have given back more than that, LLONG_MIN when that is not known. */
long long machine_usage(void);
int request_machine(long long bytes, char *reply, size_t size);

/* -- limits.c: limits lifted and set back, and usage measured, for the calibration */

extern long long ooms_before; /* what count_ooms() was when the round or the calibration began */
long long count_ooms(void);
int request_limit(const char *what);
int request_measure(const char *name, const char *where, char *reply, size_t size);

/* -- swap.c */

int request_swap(long long bytes);

/* -- requests.c */

/* Does what a packet asks for, and answers it. `pid`: of its sender. */
void handle_request(int fd, const char *request, pid_t pid);

/* -- main.c */

/* Whether the process that would end us is gone. */
int is_abandoned(void);
#endif
