// SPDX-License-Identifier: Apache-2.0
/* One hog: gets ready, waits for its phase, grows, and answers the roll. */
#include "hog.h"
#include "round.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int own_index;

/*
 * Every hog raises its own score by the same amount: the supervisor is spared, the order by size stays, and no
 * capability is needed. (Lowering the supervisor's needs CAP_SYS_RESOURCE.)
 */
static int raise_oom_score_adj(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	int ok = fd >= 0 && write(fd, "500", 3) == 3;
	close(fd);
	return ok;
}

static int say_who(const char *what)
{
	char text[MEMBER_ID + 32];
	const char *member = book->hogs[own_index].group->member;
	snprintf(text, sizeof text, "%s %d %s", what, own_index, member);
	return send(collector_fd, text, strlen(text), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void on_child(void)
{
	say_who("child");
}

static void ignore_signals(void)
{
	for (int number = 1; number < NSIG; number++)
		if (number != SIGCHLD && number != SIGKILL && number != SIGSTOP)
			signal(number, SIG_IGN);
}

/* Whose memory a hog reads: the first of that group. Its pid is in the book since it was forked, which was before us. */
static void find_peer(struct work *work, const char *name)
{
	for (int i = 0; i < own_index; i++) {
		if (!strcmp(book->hogs[i].group->name, name) && !book->hogs[i].absent) {
			work->peer = book->hogs[i].pid;
			work->peer_progress = &shared->hog[i].progress;
			work->peer_bytes = book->hogs[i].group->work.bytes;
			return;
		}
	}
}

void hog_main(int index)
{
	const struct group *group = book->hogs[index].group;
	struct work work = group->work;
	char text[32];

	own_index = index;
	work.progress = &shared->hog[index].progress;
	work.on_child = on_child;
	if (group->reads[0])
		find_peer(&work, group->reads);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (group->ignores_signals)
		ignore_signals();
	snprintf(text, sizeof text, "%s.%d", group->name, book->hogs[index].number);
	prctl(PR_SET_NAME, text);
	/* Beside unkillable hogs the others become killable when their phase begins; else at once, out of the way. */
	if (!any_unkillable && !raise_oom_score_adj())
		_exit(EXIT_SETUP);
	if (say_who("hog"))
		_exit(EXIT_SETUP);

	atomic_store(&shared->hog[index].state, HOG_READY);
	wake_all(&shared->events);
	for (uint32_t phase; (phase = atomic_load(&shared->phase)) <= (uint32_t)group->phase;)
		futex(&shared->phase, FUTEX_WAIT, phase, NULL);
	if (any_unkillable && !group->unkillable && !raise_oom_score_adj())
		_exit(EXIT_SETUP);

	begin_pace();
	atomic_store(&work.progress->begin_ns, now_ns());
	if (work.stressor->grow(&work)) {
		atomic_store(&shared->hog[index].failed, errno ? errno : EIO);
		_exit(EXIT_SETUP);
	}
	if (!check_taken()) {
		atomic_store(&shared->hog[index].failed, EBADMSG);
		_exit(EXIT_SETUP);
	}
	atomic_store(&shared->hog[index].full_ns, now_ns());
	atomic_store(&shared->hog[index].state, HOG_FULL);
	wake_all(&shared->events);

	/* A process with a pending SIGKILL never gets here: it cannot answer the roll. */
	for (;;) {
		uint32_t call = atomic_load(&shared->roll_call);
		if (call > atomic_load(&shared->hog[index].answered)) {
			atomic_store(&shared->hog[index].answered, call);
			wake_all(&shared->events);
		} else {
			futex(&shared->roll_call, FUTEX_WAIT, call, NULL);
		}
	}
}
