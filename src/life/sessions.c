#include "sessions.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cleanup.h"
#include "clock.h"
#include "dec.h"
#include "inner.h"
#include "str.h"
#include "strv.h"

#define START_BUDGET_MS	 20000
#define ATTACH_BUDGET_MS 5000
#define DEFAULT_COLS	 80
#define DEFAULT_ROWS	 24

int64_t qt_session_due(const struct qt_conf *conf, const struct qt_session *x)
{
	int64_t quiet = x->last_ms + (int64_t)conf->session_idle_s * 1000;

	return quiet < x->expires_ms ? quiet : x->expires_ms;
}

static int start_once(struct qt_life *l, const struct qt_ctr *c, const struct mi_exec *m, pid_t *pid, struct mi_failed *failed, struct qt_err *e)
{
	auto_close int conn = -1, master = -1;

	return qt_life_connect(l, c, &conn, e) < 0 || mi_exec_start_tty(conn, m, START_BUDGET_MS, pid, &master, failed, e) < 0 ? -1 : 0;
}

/* 0 when it runs, 1 when there is no such program, -1. */
static int start(struct qt_life *l, const struct qt_ctr *c, struct qt_session *x, const char *shell, struct qt_err *e)
{
	auto_free char *argv = malloc(QT_STRV_BYTES), *env = malloc(QT_STRV_BYTES), *text = NULL;
	auto_json json_t *command = json_pack("[s]", shell), *term = json_object();
	struct mi_exec m = {.uid = MI_ID_DEFAULT, .gid = MI_ID_DEFAULT, .flags = MI_EXEC_KEEP | MI_EXEC_TTY, .key = x->id.s,
			    .rows = (uint16_t)x->rows, .cols = (uint16_t)x->cols};
	struct mi_failed failed;
	int exit_code;
	pid_t pid;

	if (!argv || !env)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (!json_object_get(c->environment, "TERM"))
		json_object_set_new(term, "TERM", json_string("xterm-256color"));
	if (qt_strv_argv(&m.argv, argv, command, e) < 0 || qt_strv_env(&m.env, env, c, term, e) < 0 || start_once(l, c, &m, &pid, &failed, e) < 0)
		return -1;
	if (qt_life_jobs_make_room(l, c, &failed) && start_once(l, c, &m, &pid, &failed, e) < 0)
		return -1;
	if (failed.step == MI_STEP_EXEC && failed.sys == ENOENT)
		return 1;
	if (failed.step == MI_STEP_NONE) {
		x->pid = (uint32_t)pid;
		return qt_copy(x->shell, sizeof(x->shell), shell) ? 0 : qt_fail(e, QT_E_INTERNAL_ERROR, "the shell's name is too long");
	}
	if (qt_exec_not_started(&failed, &m, &exit_code, &text, e) < 0)
		return -1;
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/shell", "a program that can be executed in the container", "%s", text);
}

static int start_any(struct qt_life *l, const struct qt_ctr *c, struct qt_session *x, struct qt_err *e)
{
	const char *const usual[] = {"/bin/bash", "/bin/sh", NULL}, *const asked[] = {x->shell, NULL};
	int r = 1;

	for (const char *const *s = x->shell[0] ? asked : usual; *s && r > 0; s++)
		r = start(l, c, x, *s, e);
	return r > 0 ? qt_fail_field(e, QT_E_VALIDATION_ERROR, "/shell", "a program of the container", "there is no such shell in the container") : r;
}

int qt_life_session_open(struct qt_life *l, const struct qt_ctr *c, struct qt_session *x, struct qt_err *e)
{
	struct qt_err ignored = {0};

	if (qt_life_may(c, QT_V_EXEC, e) < 0)
		return -1;
	x->id = qt_id_new("sess");
	x->tenant = c->tenant;
	x->container = c->id;
	memcpy(x->node, c->node, sizeof(x->node));
	x->cols = x->cols ? x->cols : DEFAULT_COLS;
	x->rows = x->rows ? x->rows : DEFAULT_ROWS;
	x->created_ms = x->last_ms = qt_now_ms();
	x->expires_ms = x->created_ms + (int64_t)l->conf->session_ttl_s * 1000;
	/* The record first: so that what runs is always somebody's to end. */
	if (qt_store_session_put(l->store, x, l->conf->tenant_sessions, qt_session_due(l->conf, x), e) < 0)
		return -1;
	if (start_any(l, c, x, e) == 0 && qt_store_session_put(l->store, x, UINT32_MAX, qt_session_due(l->conf, x), e) == 0)
		return 0;
	(void)qt_life_session_end(l, x, &ignored);
	return -1;
}

static int not_found(struct qt_err *e)
{
	return qt_fail(e, QT_E_SESSION_NOT_FOUND, "there is no such terminal session");
}

/* Does what X was a part of still run? */
static int alive(struct qt_life *l, const struct qt_session *x, struct qt_err *e)
{
	struct qt_err why = {0}, ignored = {0};
	struct qt_ctr c;
	bool ok;

	if (qt_store_ctr_get(l->store, &x->tenant, x->container.s, &c, &why) < 0) {
		if (why.code != QT_E_CONTAINER_NOT_FOUND) {
			*e = why;
			return -1;
		}
		ok = false;
	} else {
		ok = c.state == QT_ST_RUNNING && c.started_ms <= x->created_ms;
		qt_ctr_done(&c);
	}
	if (ok)
		return 0;
	(void)qt_store_session_remove(l->store, &x->tenant, &x->id, &ignored);
	return not_found(e);
}

int qt_life_session_get(struct qt_life *l, const struct qt_id *tenant, const char *id, struct qt_session *ret, struct qt_err *e)
{
	return qt_store_session_get(l->store, tenant, id, ret, e) < 0 ? -1 : alive(l, ret, e);
}

struct list {
	struct qt_session *v;
	size_t n;
	bool failed;
};

static void add(const struct qt_session *x, void *arg)
{
	struct list *all = arg;
	struct qt_session *more = realloc(all->v, (all->n + 1) * sizeof(*more));

	if (!more) {
		all->failed = true;
		return;
	}
	all->v = more;
	all->v[all->n++] = *x;
}

json_t *qt_life_session_list(struct qt_life *l, const struct qt_id *tenant, struct qt_err *e)
{
	json_t *views = json_array();
	struct list all = {0};
	int r = qt_store_session_each(l->store, tenant, add, &all, e);

	if (all.failed)
		r = qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct qt_err gone = {0};

		if (alive(l, &all.v[i], &gone) == 0)
			json_array_append_new(views, qt_session_view(&all.v[i], l->conf->public_url, qt_now_ms()));
		else if (gone.code != QT_E_SESSION_NOT_FOUND)
			r = qt_fail(e, gone.code, "%s", gone.msg);
	}
	free(all.v);
	if (r == 0)
		return views;
	json_decref(views);
	return NULL;
}

static int connect_to(struct qt_life *l, const struct qt_session *x, int *ret_conn, struct qt_err *e)
{
	const struct qt_ctr c = {.id = x->container};

	return qt_life_connect(l, &c, ret_conn, e);
}

/* The container, or what ran in it, is gone. */
static bool over(const struct qt_err *e)
{
	return e->code == QT_E_CONTAINER_NOT_FOUND || e->code == QT_E_INVALID_STATE;
}

void qt_terminal_done(struct qt_terminal *t)
{
	qt_reset_fd(&t->conn, -1);
	qt_reset_fd(&t->master, -1);
	qt_reset_fd(&t->scroll, -1);
}

/* 1: the container's init has it, and KEPT and RET, the caller's, say how. 0: it has not, or is no more. */
static int find(struct qt_life *l, const struct qt_session *x, struct mi_kept *kept, struct qt_terminal *ret, struct qt_err *e)
{
	auto_close int conn = -1;
	int fds[2] = {-1, -1}, r;

	*ret = QT_TERMINAL_NONE;
	r = connect_to(l, x, &conn, e);
	if (r == 0)
		r = mi_attach(conn, x->id.s, ATTACH_BUDGET_MS, kept, fds, e);
	if (r > 0 && kept->tty) {
		*ret = (struct qt_terminal){qt_take_fd(&conn), fds[0], fds[1]};
		return 1;
	}
	qt_close(fds[0]);
	qt_close(fds[1]);
	if (r < 0 && !over(e))
		return -1;
	qt_err_reset(e);
	return 0;
}

int qt_life_session_attach(struct qt_life *l, const struct qt_session *x, struct qt_terminal *ret, struct qt_err *e)
{
	struct qt_err ignored = {0};
	struct mi_kept kept;
	int r = find(l, x, &kept, ret, e);

	if (r > 0 && !kept.ended)
		return 0;
	/* Its shell ended, and nobody was there to hear it: nobody will be told again. */
	if (r > 0)
		(void)qt_life_session_end(l, x, &ignored);
	qt_terminal_done(ret);
	return r < 0 ? -1 : not_found(e);
}

static int runs(struct qt_life *l, const struct qt_session *x, struct qt_err *e)
{
	struct qt_terminal ends;
	struct mi_kept kept;
	int r = find(l, x, &kept, &ends, e);

	qt_terminal_done(&ends);
	return r > 0 && kept.ended ? 0 : r;
}

/* Whoever ends a session has the init forget it first, and takes its record away after that: so one that the init has was not ended. It may be while this puts
 * the record: then whoever ended it may have looked for it before it was there. */
int qt_life_session_restore(struct qt_life *l, const struct qt_session *x, struct qt_err *e)
{
	struct qt_err unknown = {0};
	int r = alive(l, x, e) < 0 ? -1 : runs(l, x, e);

	if (r <= 0)
		return r < 0 ? -1 : not_found(e);
	if (qt_store_session_put(l->store, x, UINT32_MAX, qt_session_due(l->conf, x), e) < 0)
		return -1;
	if (runs(l, x, &unknown) != 0)
		return 0;
	return qt_store_session_remove(l->store, &x->tenant, &x->id, e) < 0 ? -1 : not_found(e);
}

int qt_life_session_resize(struct qt_life *l, struct qt_session *x, uint32_t cols, uint32_t rows, struct qt_err *e)
{
	const struct winsize w = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};
	struct qt_terminal t;
	int r;

	if (qt_life_session_attach(l, x, &t, e) < 0)
		return -1;
	r = ioctl(t.master, TIOCSWINSZ, &w) < 0 ? qt_fail_sys(e, errno, "resize a terminal") : 0;
	qt_terminal_done(&t);
	if (r < 0)
		return -1;
	x->cols = cols;
	x->rows = rows;
	x->last_ms = qt_now_ms();
	return qt_store_session_touch(l->store, x, qt_session_due(l->conf, x), e);
}

int qt_life_session_end(struct qt_life *l, const struct qt_session *x, struct qt_err *e)
{
	auto_close int conn = -1;
	int r = connect_to(l, x, &conn, e);

	if (r == 0)
		r = mi_forget(conn, x->id.s, ATTACH_BUDGET_MS, e);
	if (r < 0 && !over(e))
		return -1;
	qt_err_reset(e);
	return qt_store_session_remove(l->store, &x->tenant, &x->id, e);
}
