/* The smallest init that follows src/minit/proto.h: starts the command, says ready, reaps. The first word of the command may ask it
 * to fail: "hang" (never ready), "die" (ends at once), "step" (says that a step failed). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "minit/proto.h"

static char text[MI_MSG_MAX];

static void say(unsigned step, int sys)
{
	struct mi_ready r = {MI_MAGIC, step, (unsigned)sys};

	if (write(MI_FD_READY, &r, sizeof(r)) != sizeof(r))
		_exit(1);
	close(MI_FD_READY);
}

int main(void)
{
	struct mi_config *c = (void *)text;
	ssize_t n = pread(MI_FD_CONFIG, text, sizeof(text) - 1, 0);
	char *argv[64], *p = text + sizeof(*c);
	int argc = 0;

	if (n < (ssize_t)sizeof(*c) || c->magic != MI_MAGIC)
		return 1;
	for (; p < text + sizeof(*c) + c->argv_len && argc < 63; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	if (argc && strcmp(argv[0], "hang") == 0)
		for (;;)
			pause();
	if (argc && strcmp(argv[0], "die") == 0)
		return 3;
	if (argc && strcmp(argv[0], "step") == 0) {
		say(MI_STEP_CWD, ENOTDIR);
		pause();
	}
	prctl(PR_SET_DUMPABLE, 0);
	if (argc && fork() == 0) {
		for (int fd = 3; fd <= MI_FD_READY; fd++)
			close(fd);
		setsid();
		execv(argv[0], argv);
		_exit(127);
	}
	prctl(PR_SET_PDEATHSIG, 0);
	say(0, 0);
	for (;;)
		if (wait(NULL) < 0)
			pause();
}
