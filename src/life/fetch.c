#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "images.h"
#include "installed.h"
#include "str.h"

#define PROGRAM	 QT_LIBEXECDIR "/quilt-pull"
#define LINE_MAX_ 65536
#define LOOK_MS	 500

struct child {
	pid_t pid;
	int in, out; /* its standard input and output */
	char *line;
	size_t len;
};

static int start(struct child *c, const char *dir, struct qt_err *e)
{
	char name[] = "quilt-pull", *argv[] = {name, NULL}, *envp[] = {NULL};
	posix_spawn_file_actions_t acts;
	int in[2], out[2], sys;
	posix_spawnattr_t attr;
	sigset_t none;

	if (pipe2(in, O_CLOEXEC) < 0)
		return qt_fail_sys(e, errno, "make a pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		sys = errno;
		qt_close(in[0]);
		qt_close(in[1]);
		return qt_fail_sys(e, sys, "make a pipe");
	}
	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&acts);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	sys = posix_spawn_file_actions_addchdir_np(&acts, dir);
	if (sys == 0)
		sys = posix_spawn_file_actions_adddup2(&acts, in[0], STDIN_FILENO);
	if (sys == 0)
		sys = posix_spawn_file_actions_adddup2(&acts, out[1], STDOUT_FILENO);
	if (sys == 0)
		sys = posix_spawn(&c->pid, PROGRAM, &acts, &attr, argv, envp);
	(void)posix_spawn_file_actions_destroy(&acts);
	(void)posix_spawnattr_destroy(&attr);
	qt_close(in[0]);
	qt_close(out[1]);
	c->in = in[1];
	c->out = out[0];
	if (sys == 0)
		return 0;
	c->pid = 0;
	return qt_fail_sys(e, sys, "start the program that fetches images");
}

static void end(struct child *c)
{
	qt_close(c->in);
	qt_close(c->out);
	free(c->line);
	if (c->pid <= 0)
		return;
	(void)kill(c->pid, SIGKILL); /* it has nothing to tidy up; ours, and not waited for yet */
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int ask(struct child *c, const json_t *request, struct qt_err *e)
{
	char *text = json_dumps(request, JSON_COMPACT);
	int r = text ? qt_write_full(c->in, text, strlen(text), e) : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");

	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	qt_reset_fd(&c->in, -1);
	return r;
}

/* One more line, without its end, as JSON; NULL with E->code QT_OK: nothing yet. */
static json_t *next_line(struct child *c, struct qt_err *e)
{
	char *nl = memchr(c->line, '\n', c->len);
	json_t *o;

	if (!nl) {
		struct pollfd p = {.fd = c->out, .events = POLLIN};
		ssize_t n;

		if (c->len == LINE_MAX_)
			return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images says too much"), NULL;
		if (poll(&p, 1, LOOK_MS) <= 0)
			return NULL;
		n = read(c->out, c->line + c->len, LINE_MAX_ - c->len);
		if (n <= 0)
			return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images ended without a word"), NULL;
		c->len += (size_t)n;
		nl = memchr(c->line, '\n', c->len);
		if (!nl)
			return NULL;
	}
	o = json_loadb(c->line, (size_t)(nl - c->line), 0, NULL);
	c->len -= (size_t)(nl + 1 - c->line);
	memmove(c->line, nl + 1, c->len);
	if (!json_is_object(o)) {
		json_decref(o);
		return (void)qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images says something unknown"), NULL;
	}
	return o;
}

static int refuse(const json_t *o, struct qt_err *e)
{
	const char *name = json_string_value(json_object_get(o, "error_code")), *why = json_string_value(json_object_get(o, "error"));

	enum qt_code code = name ? qt_err_parse(name) : QT_OK;

	if (code != QT_OK)
		return qt_fail(e, code, "%s", why ? why : "the image cannot be fetched");
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images failed");
}

int qt_fetch(const char *dir, const json_t *request, bool (*progress)(void *arg, unsigned percent), void *arg, int64_t deadline_ms, json_t **ret,
	     struct qt_err *e)
{
	QT_AUTO(end) struct child c = {.in = -1, .out = -1, .line = malloc(LINE_MAX_)};
	unsigned percent = 0;

	if (!c.line)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (start(&c, dir, e) < 0 || ask(&c, request, e) < 0)
		return -1;
	for (;;) {
		json_t *o = next_line(&c, e);

		if (!o && e->code != QT_OK)
			return -1;
		if (o && json_object_get(o, "manifest_digest")) {
			*ret = o;
			return 0;
		}
		if (o && json_object_get(o, "error_code")) {
			(void)refuse(o, e);
			json_decref(o);
			return -1;
		}
		if (o)
			percent = (unsigned)json_integer_value(json_object_get(o, "percent"));
		json_decref(o);
		if (!progress(arg, percent))
			return qt_fail(e, QT_E_CONFLICT, "the pull was cancelled");
		if (qt_now_ms() > deadline_ms)
			return qt_fail(e, QT_E_TIMEOUT, "the image could not be pulled in time");
	}
}
