/* RUN: a command in the stage's container. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "minit_client.h"
#include "str.h"

#define LOOK_MS	 250
#define DRAIN_MS 2000
#define CHUNK	 16384

struct output {
	int *fd;
	const char *stream;
};

/* False: nothing comes any more. */
static bool take(struct qt_build *b, struct output *o)
{
	char chunk[CHUNK];
	ssize_t n = read(*o->fd, chunk, sizeof(chunk));

	if (n > 0)
		qt_build_log(b, o->stream, chunk, (size_t)n);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		qt_reset_fd(o->fd, -1);
		return false;
	}
	return n > 0;
}

/* Until the command has ended: its exit code. */
static int wait_for(struct qt_build *b, struct qt_exec_running *r, int *ret_code, struct qt_err *e)
{
	struct output out[2] = {{&r->out, "stdout"}, {&r->err, "stderr"}};
	int64_t look = qt_mono_ms() + LOOK_MS, until;
	int done = 0, signal;

	while (!done) {
		struct pollfd p[] = {{.fd = r->conn, .events = POLLIN}, {.fd = r->out, .events = POLLIN}, {.fd = r->err, .events = POLLIN}};

		if (poll(p, QT_LEN(p), qt_left_ms(look)) < 0 && errno != EINTR)
			return qt_fail_sys(e, errno, "poll");
		for (size_t i = 0; i < QT_LEN(out); i++)
			if (p[i + 1].revents)
				(void)take(b, &out[i]);
		if (p[0].revents && (done = mi_exec_wait(r->conn, 0, ret_code, &signal, e)) < 0)
			return -1;
		if (qt_left_ms(look) > 0)
			continue;
		qt_build_log_tick(b);
		if (qt_op_go_on(b->l, b->o, e) < 0)
			return -1; /* closing the connection ends it */
		look = qt_mono_ms() + LOOK_MS;
	}
	/* What was written until then; not what grandchildren go on writing. */
	until = qt_mono_ms() + DRAIN_MS;
	for (size_t i = 0; i < QT_LEN(out); i++)
		while (*out[i].fd >= 0 && qt_left_ms(until) > 0 && take(b, &out[i]))
			;
	qt_build_log_flush(b);
	return 0;
}

/* Did the kernel end something of it for memory? */
static bool out_of_memory(struct qt_build *b, const struct qt_stage *st)
{
	struct rt_stats_req req = {.id = st->c.id};
	struct qt_err ignored = {0};
	struct rt_stats_rep rep;

	return rt_stats(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, &ignored) == 0 && rep.memory_oom_kills > 0;
}

static int failed(struct qt_build *b, const struct qt_stage *st, int code, struct qt_err *e)
{
	json_object_set_new(b->o->result, "exit_code", json_integer(code));
	json_object_set_new(b->o->result, "line", json_integer((json_int_t)b->at->line));
	json_object_set_new(b->o->result, "instruction", json_string(b->shown));
	if (code >= 128 && out_of_memory(b, st))
		return qt_fail(e, QT_E_BUILD_FAILED, "the command used more than its memory limit of %u MiB, and was killed (exit code %d)", b->memory_mb, code);
	return qt_fail(e, QT_E_BUILD_FAILED, "the command exited with code %d", code);
}

static int execute(struct qt_build *b, struct qt_stage *st, const json_t *argv, struct qt_err *e)
{
	const struct qt_exec x = {.command = argv, .workdir = qt_stage_workdir(st), .capture = true};
	struct qt_exec_running r;
	int code = 0, ret;

	if (qt_life_exec_open(b->l, &st->c, &x, &r, e) < 0)
		return -1;
	qt_reset_fd(&r.in, -1);
	if (r.pid == 0) {
		qt_build_log(b, "stderr", r.text ? r.text : "", r.text ? strlen(r.text) : 0);
		code = r.exit_code;
		ret = 0;
	} else {
		ret = wait_for(b, &r, &code, e);
	}
	qt_build_log_flush(b);
	if (ret < 0 && e->code == QT_E_UNAVAILABLE && out_of_memory(b, st)) {
		qt_err_reset(e);
		ret = 0;
		code = 128 + SIGKILL;
	}
	qt_exec_running_done(&r);
	return ret < 0 ? -1 : code == 0 ? 0 : failed(b, st, code, e);
}

static json_t *argv_of(const struct qt_stage *st, const struct qt_df_step *s)
{
	json_t *argv;

	if (s->exec)
		return json_incref(s->exec);
	argv = json_copy(st->shell);
	if (s->script)
		json_array_append(argv, s->script);
	else
		json_array_append_new(argv, json_string(s->rest));
	return argv;
}

int qt_build_run(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e)
{
	auto_json json_t *argv = argv_of(st, s), *vars = qt_build_vars(st);
	auto_free char *what = json_dumps(argv, JSON_COMPACT), *env = json_dumps(vars, JSON_COMPACT | JSON_SORT_KEYS);
	const char *user = json_string_value(json_object_get(json_object_get(st->config, "config"), "User"));
	char key[QT_KEY_HEX + 1];
	int there;

	if (json_array_size(argv) == 0)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "RUN takes a command");
	if (!what || !env)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	qt_build_key(key, st->key, "run", what, env, user ? user : "", qt_stage_workdir(st), NULL);
	there = qt_build_cached(b, st, key, e);
	if (there != 0)
		return there < 0 ? -1 : 1;
	if (qt_build_up(b, st, e) < 0 || execute(b, st, argv, e) < 0)
		return -1;
	return qt_build_take(b, st, key, e);
}
