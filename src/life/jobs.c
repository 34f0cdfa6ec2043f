/* Jobs: execs that nobody waits for. The container's init holds them and what they write; their records in the store say what is known,
 * and are brought up to date by whoever looks, and before the container is stopped. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "dec.h"
#include "fdio.h"
#include "inner.h"
#include "log.h"
#include "minit_client.h"
#include "str.h"
#include "strv.h"

#define START_BUDGET_MS	 20000
#define ATTACH_BUDGET_MS 5000
#define SAVE_BUDGET_MS	 10000

json_t *qt_text_of(const char *bytes, size_t len)
{
	auto_free char *mended = malloc(3 * len + 1);

	return mended ? json_stringn_nocheck(mended, qt_utf8_mend(mended, bytes ? bytes : "", len)) : json_string("");
}

json_t *qt_command_text(const json_t *command)
{
	struct qt_buf b = QT_BUF(1000);
	struct qt_err full = {0};
	json_t *word, *s;
	size_t i, n;

	json_array_foreach(command, i, word)
		if (qt_buf_fmt(&b, &full, "%s%s", i ? " " : "", json_string_value(word)) < 0)
			break;
	n = b.data ? qt_utf8_span(b.data, b.len) : 0;
	s = json_stringn(b.data ? b.data : "", n);
	qt_buf_done(&b);
	return s;
}

/* What the job will read: a file, since nobody stays to feed a pipe. */
static int open_stdin(const struct qt_exec *x, struct qt_err *e)
{
	auto_close int fd = -1;

	if (x->stdin_len == 0)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	else
		fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return qt_fail_sys(e, errno, "make the input of a job");
	if (x->stdin_len > 0) {
		if (qt_write_full(fd, x->stdin_data, x->stdin_len, e) < 0)
			return -1;
		if (lseek(fd, 0, SEEK_SET) < 0)
			return qt_fail_sys(e, errno, "make the input of a job");
	}
	return qt_take_fd(&fd);
}

static void set(json_t *o, const char *name, json_t *v)
{
	json_object_set_new(o, name, v);
}

static void set_ended(json_t *o, const char *status, int exit_code, int64_t ended_ms)
{
	set(o, "status", json_string(status));
	set(o, "exit_code", json_integer(exit_code));
	set(o, "completed_at", json_integer(ended_ms / 1000));
}

static const char *status_of(int exit_code, bool timed_out)
{
	return timed_out ? "timed_out" : exit_code == 0 ? "completed" : "failed";
}

static int start_once(struct qt_life *l, const struct qt_ctr *c, const struct mi_exec *m, struct mi_failed *failed, struct qt_err *e)
{
	auto_close int conn = -1;
	pid_t pid;

	return qt_life_connect(l, c, &conn, e) < 0 || mi_exec_start(conn, m, START_BUDGET_MS, &pid, failed, e) < 0 ? -1 : 0;
}

/* Start M as the job whose record is O, which is written already; what cannot be executed is a job that failed. */
static int start(struct qt_life *l, const struct qt_ctr *c, const struct mi_exec *m, json_t *o, struct qt_err *e)
{
	auto_free char *text = NULL;
	struct mi_failed failed;
	int exit_code;

	if (start_once(l, c, m, &failed, e) < 0)
		return -1;
	if (qt_life_jobs_make_room(l, c, &failed) && start_once(l, c, m, &failed, e) < 0)
		return -1;
	if (failed.step == MI_STEP_NONE)
		return 0;
	if (qt_exec_not_started(&failed, m, &exit_code, &text, e) < 0)
		return -1;
	set_ended(o, "failed", exit_code, qt_now_ms());
	set(o, "stderr", json_string(text));
	return qt_store_job_put(l->store, &c->tenant, &c->id, m->key, o, e);
}

int qt_life_detach(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, const struct qt_id *job, json_t **ret_record,
		   struct qt_err *e)
{
	auto_free char *argv = malloc(QT_EXEC_BYTES), *env = malloc(QT_STRV_BYTES);
	struct mi_exec m = {.cwd = x->workdir, .uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT, .flags = MI_EXEC_KEEP, .key = job->s,
			    .time_ms = x->timeout_ms};
	auto_close int in = -1;
	json_t *o;

	if (!argv || !env)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (qt_life_may(c, QT_V_EXEC, e) < 0 || qt_strv_words(&m.argv, argv, QT_EXEC_BYTES, x->command, e) < 0 ||
	    qt_strv_env(&m.env, env, c, x->environment, e) < 0)
		return -1;
	in = open_stdin(x, e);
	if (in < 0)
		return -1;
	m.fds[0] = in;
	o = json_pack("{s:s, s:s, s:o, s:s, s:n, s:s, s:s, s:I, s:n, s:n, s:b}", "job_id", job->s, "container_id", c->id.s, "command",
		      qt_command_text(x->command), "status", "running", "exit_code", "stdout", "", "stderr", "", "started_at",
		      (json_int_t)(qt_now_ms() / 1000), "completed_at", "error_message", "detached", 1);
	/* The record first: a job that nobody can find again must not run. */
	if (qt_store_job_put(l->store, &c->tenant, &c->id, job->s, o, e) == 0 && start(l, c, &m, o, e) == 0) {
		*ret_record = o;
		return 0;
	}
	json_decref(o);
	return -1;
}

/* The memory belongs to the container, and may be changed there while it is read: length and bytes are not trusted. */
static json_t *read_output(int fd, uint64_t total)
{
	size_t len = total < MI_KEEP_BYTES ? (size_t)total : MI_KEEP_BYTES, done = 0;
	auto_free char *buf = malloc(len + 1);

	while (buf && done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return qt_text_of(buf, buf ? done : 0);
}

/* What the init says of the job into O. False: it does not know it. */
static bool ask_init(struct qt_life *l, const struct qt_ctr *c, const char *job, json_t *o, int budget_ms, struct qt_err *e)
{
	auto_close int conn = -1, out = -1, err = -1;
	struct mi_kept k;
	int fds[2], n;

	if (qt_life_connect(l, c, &conn, e) < 0)
		return false;
	n = mi_attach(conn, job, budget_ms, &k, fds, e);
	if (n <= 0)
		return false;
	out = fds[0];
	err = fds[1];
	if (k.tty)
		return false;
	set(o, "stdout", read_output(out, k.out_bytes));
	set(o, "stderr", read_output(err, k.err_bytes));
	set(o, "output_truncated", json_boolean(k.out_bytes > MI_KEEP_BYTES || k.err_bytes > MI_KEEP_BYTES));
	if (k.ended)
		set_ended(o, status_of(k.exit_code, k.timed_out != 0), k.exit_code, (int64_t)k.ended_ms);
	return true;
}

static bool says(const json_t *o, const char *status)
{
	const char *s = json_string_value(json_object_get(o, "status"));

	return s && qt_streq(s, status);
}

/* Its record is written before it begins; so an init that does not know it may be about to hear of it. */
static bool begins(const struct qt_ctr *c, const json_t *o)
{
	int64_t since_s = json_integer_value(json_object_get(o, "started_at"));

	return c->state == QT_ST_RUNNING && since_s >= c->started_ms / 1000 && since_s + START_BUDGET_MS / 1000 >= qt_now_ms() / 1000;
}

/* O anew. 1: it still says that it runs, 0: it has ended, or there is none any more; -1. */
static int read_again(struct qt_life *l, const struct qt_ctr *c, const char *job, json_t *o, struct qt_err *e)
{
	auto_json json_t *now = qt_store_job_get(l->store, &c->tenant, &c->id, job, e);

	if (!now && e->code == QT_E_JOB_NOT_FOUND)
		qt_err_reset(e);
	if (!now)
		return e->code == QT_OK ? 0 : -1;
	(void)json_object_del(now, "job_id"); /* JOB may be O's own */
	(void)json_object_update(o, now);
	return says(o, "running") ? 1 : 0;
}

/* O is the stored record of a job of C; what is known better now goes into it, and an end into the store. False: the init cannot be asked now, or the store. */
static bool bring_up_to_date(struct qt_life *l, const struct qt_ctr *c, json_t *o, int budget_ms)
{
	const char *job = json_string_value(json_object_get(o, "job_id"));
	bool ran = says(o, "running"), known = false;
	struct qt_err e = {0};
	int r;

	if (!job || !json_is_true(json_object_get(o, "detached")))
		return true;
	if (c->state == QT_ST_RUNNING)
		known = ask_init(l, c, job, o, budget_ms, &e);
	/* An init that cannot be asked now proves nothing; one that does not know it, or is no more, does, unless somebody has written down its end meanwhile:
	 * then the init may have given its place away. */
	if (e.code != QT_OK)
		return false;
	if (ran && !known && !begins(c, o)) {
		r = read_again(l, c, job, o, &e);
		if (r <= 0)
			return r == 0;
		set_ended(o, "failed", 128 + 9, c->exited_ms > 0 ? c->exited_ms : qt_now_ms());
		set(o, "error_message", json_string("the container was stopped while the job ran"));
	}
	if (!ran || says(o, "running") || qt_store_job_put(l->store, &c->tenant, &c->id, job, o, &e) == 0)
		return true;
	qt_log_err(QT_LOG_WARN, &e, "the end of job %s is not written down now", job);
	return false;
}

json_t *qt_life_job(struct qt_life *l, const struct qt_ctr *c, const char *job, bool with_output, struct qt_err *e)
{
	json_t *o = qt_store_job_get(l->store, &c->tenant, &c->id, job, e);

	if (!o)
		return NULL;
	if (with_output || says(o, "running"))
		(void)bring_up_to_date(l, c, o, ATTACH_BUDGET_MS);
	if (!with_output) {
		json_object_del(o, "stdout");
		json_object_del(o, "stderr");
	}
	return o;
}

json_t *qt_life_jobs(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	json_t *list = qt_store_job_list(l->store, &c->tenant, &c->id, false, e), *o;
	bool answers = true;
	size_t i;

	json_array_foreach(list, i, o) {
		/* An init that does not answer is not asked again for each. */
		if (says(o, "running"))
			answers = answers && bring_up_to_date(l, c, o, ATTACH_BUDGET_MS);
		json_object_del(o, "stdout");
		json_object_del(o, "stderr");
	}
	return list;
}

bool qt_life_jobs_save(struct qt_life *l, const struct qt_ctr *c, int budget_ms)
{
	int64_t deadline = qt_mono_ms() + budget_ms;
	struct qt_err e = {0};
	json_t *list = qt_store_job_list(l->store, &c->tenant, &c->id, true, &e), *o;
	bool all = list != NULL;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *job = json_string_value(json_object_get(o, "job_id"));

		all = bring_up_to_date(l, c, o, qt_left_ms(deadline));
		if (!all)
			break;
		/* Its output so far; that it does not run any more is seen when somebody asks. */
		if (job && says(o, "running"))
			(void)qt_store_job_put(l->store, &c->tenant, &c->id, job, o, &e);
	}
	json_decref(list);
	return all;
}

/* The init gives no place away of a job whose end may not be written down. Now those are that have records: one is written before its job begins. The others'
 * are gone (operation_keep_s, the tenant's newest 1000, FLUSHALL), and nobody will ever ask for them. So it may have the places of all that had ended when it
 * refused; of what ended since, nothing is known. */
bool qt_life_jobs_make_room(struct qt_life *l, const struct qt_ctr *c, const struct mi_failed *failed)
{
	auto_close int conn = -1;
	struct qt_err e = {0};

	if (failed->step != MI_STEP_FORK || failed->sys != EAGAIN)
		return false;
	if (qt_life_jobs_save(l, c, SAVE_BUDGET_MS) && failed->n_ended > 0 && qt_life_connect(l, c, &conn, &e) == 0)
		(void)mi_saved(conn, failed->n_ended, ATTACH_BUDGET_MS, &e);
	return true;
}
