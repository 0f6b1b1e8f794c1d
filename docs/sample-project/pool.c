/*
 * pool: an ordinary program for a container. It works off jobs, each in a process of its own, and says which were lost.
 *
 *   pool MIB...     one job that needs MIB of memory for each argument; exit code 3 if a job was lost
 *   pool leak       a bug: takes memory until it is stopped
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void take(size_t mib)
{
	volatile char *memory = malloc(mib << 20);
	if (!memory)
		exit(1);
	for (size_t at = 0; at < mib << 20; at += 4096)
		memory[at] = 1; /* a page is taken when it is written to */
}

int main(int argc, char **argv)
{
	int lost = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "leak"))
		for (;;)
			take(1);
	for (int job = 1; job < argc; job++) {
		int status;
		pid_t pid = fork();
		if (pid < 0)
			return 1;
		if (pid == 0) {
			take(strtoul(argv[job], NULL, 10));
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status)) {
			printf("job %d: lost, killed by signal %d\n", job, WTERMSIG(status));
			lost++;
		} else {
			printf("job %d: done\n", job);
		}
	}
	return lost ? 3 : 0;
}
