/* The requests that change a container. Which privileges each uses, and what it would be worth to a hostile worker, stands in its row in
 * ops.c, which prints it. */
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "files.h"
#include "life.h"
#include "log.h"
#include "peer.h"
#include "str.h"
#include "undo.h"

#define MEMORY_MIN_MB  16
#define CPU_MIN_CENTI  1
#define SPAWN_MS       5000 /* it takes 2; everybody waits while a child hangs */
#define STOP_MAX_MS    600000

/* What is to run: of CREATE and of START. */
struct run {
	const struct rt_strv *argv, *env;
	enum rt_failpoint cgroup, socket, spawn, attach, net, ready;
};

/* --- checks -------------------------------------------------------------------------------------------- */

static int check_hostname(const struct rt_str *s, struct qt_err *e)
{
	size_t n = strspn(s->s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n == 0 || n > 63 || n != s->len || s->s[0] == '-' || s->s[0] == '.')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/name", "letters, digits, '.', '_' and '-', at most 63",
				     "the host name cannot be used");
	return 0;
}

static int check_workdir(const struct rt_str *s, struct qt_err *e)
{
	for (uint32_t i = 0; i < s->len; i++)
		if ((unsigned char)s->s[i] < 0x20 || s->s[i] == 0x7f)
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "",
					     "the working directory holds a control character");
	if (s->len > 0 && s->s[0] != '/')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/working_directory", "an absolute path",
				     "the working directory is not an absolute path");
	return 0;
}

static int check_words(const struct rt_strv *argv, const struct rt_strv *env, struct qt_err *e)
{
	const char *p = NULL;

	if (argv->n > 0 && argv->s[0] == '\0')
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/command", "", "the command's first word is empty");
	while ((p = rt_strv_next(env, p)))
		if (!strchr(p, '=') || p[0] == '=')
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/environment", "", "a variable has no name");
	return 0;
}

/* The workers check all of this, with better words; here it is what the node can stand. */
static int check_limits(const struct rt *rt, uint32_t memory_mb, uint32_t cpu_centi, struct qt_err *e)
{
	if (memory_mb < MEMORY_MIN_MB || memory_mb > rt->memory_max_mb)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/memory_limit_mb", "", "memory_limit_mb must be from %u to %u",
				     MEMORY_MIN_MB, rt->memory_max_mb);
	if (cpu_centi < CPU_MIN_CENTI || cpu_centi > rt->cpus * 10000)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/cpu_limit_percent", "",
				     "cpu_limit_percent must be above 0 and at most %u", rt->cpus * 100);
	return 0;
}

static int check_room(const struct rt *rt, uint32_t memory_mb, struct qt_err *e)
{
	uint64_t sum = memory_mb;

	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (rt->ctrs.v[i]->state == RT_ST_RUNNING)
			sum += rt->ctrs.v[i]->memory_mb;
	if (sum > rt->node_memory_mb)
		return qt_fail(e, QT_E_CAPACITY_FULL, "the node's memory is given away");
	return 0;
}

/* --- bringing up --------------------------------------------------------------------------------------- */

struct attach {
	struct rt_ctr *c;
	const struct run *run;
	bool add; /* to the cgroup: it was not cloned into it */
};

static int attach(void *arg, pid_t pid, struct qt_err *e)
{
	struct attach *a = arg;
	struct rt_ctr *c = a->c;

	if (rt_failpoint(a->run->attach, e) < 0)
		return -1;
	return a->add ? rt_cgroup_add(c->rt->cgroups, &c->id, pid, e) : 0;
}

static int connect_net(void *arg, pid_t pid, struct qt_err *e)
{
	struct attach *a = arg;
	struct rt_ctr *c = a->c;

	if (rt_failpoint(a->run->net, e) < 0)
		return -1;
	c->made |= RT_MADE_NET;
	return rt_net_attach(c->rt->net, &c->addr, &c->tenant, pid, e);
}

static int spawn(struct rt_ctr *c, const struct run *run, int listen_fd, struct qt_err *e)
{
	struct rt *rt = c->rt;
	auto_close int lower = rt_store_rootfs(&rt->store, c->image, e), upper = -1, work = -1, config = -1;
	auto_close int log0 = -1, log1 = -1, status = -1, cgroup = -1;
	struct attach a = {.c = c, .run = run};
	int log[2];

	if (lower < 0 || rt_store_tree(&rt->store, &c->id, &upper, &work, e) < 0 ||
	    rt_files_open(rt, &c->id, log, &status, e) < 0)
		return -1;
	log0 = log[0];
	log1 = log[1];
	config = rt_files_config(rt, run->argv, run->env, c->workdir[0] ? c->workdir : "/", e);
	if (config < 0)
		return -1;
	cgroup = rt_cgroup_fd(rt->cgroups, &c->id);
	a.add = cgroup < 0;

	const struct rt_spawn what = {
		.id = c->id,
		.hostname = c->hostname,
		.uid_base = (uint32_t)rt->conf.uid_base + c->range * 65536U,
		.strict = c->strict != 0,
		.lower_fds = &lower,
		.n_lower = 1,
		.upper_fd = upper,
		.work_fd = work,
		.resolv_conf = rt->resolv_conf,
		.workdir = c->workdir[0] ? c->workdir : "/",
		.listen_fd = listen_fd,
		.log_fd = {log[0], log[1]},
		.status_fd = status,
		.config_fd = config,
		.cgroup_fd = cgroup,
		.attach = attach,
		.connect = connect_net,
		.arg = &a,
	};

	if (rt_failpoint(run->spawn, e) < 0)
		return -1;
	c->gone = false;
	if (rt_spawn(rt->spawner, &what, SPAWN_MS, &c->pid, &c->pidfd, e) < 0)
		return -1;
	c->made |= RT_MADE_PROCESS;
	c->is_child = true;
	c->start_time = rt_start_time(c->pid);
	return rt_failpoint(run->ready, e);
}

/* From a tree and an address to an init that said ready. What was made is in c->made, also on failure. */
static int bring_up(struct rt_ctr *c, const struct run *run, struct qt_err *e)
{
	struct rt *rt = c->rt;
	const struct rt_limits limits = {
		.memory_mb = c->memory_mb,
		.cpu_centi = c->cpu_centi,
		.pids = (uint32_t)(c->strict ? rt->conf.pids_limit / 4 : rt->conf.pids_limit),
	};
	auto_close int listen_fd = -1;

	c->made |= RT_MADE_CGROUP;
	if (rt_cgroup_make(rt->cgroups, &c->id, &limits, e) < 0 || rt_failpoint(run->cgroup, e) < 0)
		return -1;
	c->made |= RT_MADE_SOCKET;
	listen_fd = rt_files_listen(rt, &c->id, e);
	if (listen_fd < 0 || rt_failpoint(run->socket, e) < 0)
		return -1;
	return spawn(c, run, listen_fd, e);
}

static int commit(struct rt_ctr *c, enum rt_failpoint committed, struct qt_err *e)
{
	c->phase = RT_PH_WHOLE;
	c->state = RT_ST_RUNNING;
	c->started_ms = (uint64_t)qt_now_ms();
	c->exited_ms = 0;
	c->exit_code = 0;
	if (rt_ctr_save(c, true, e) < 0 || rt_failpoint(committed, e) < 0)
		return -1;
	return rt_life_watch(c, e);
}

/* --- create -------------------------------------------------------------------------------------------- */

static int make_keep(struct rt_ctr *c, struct qt_err *e)
{
	struct rt *rt = c->rt;

	/* These two are only numbers in our memory, so far: their bits follow success. */
	if (rt_net_reserve(rt->net, &c->addr, e) < 0)
		return -1;
	c->made |= RT_MADE_ADDR;
	if (rt_ranges_take(&rt->ranges, &c->range, e) < 0)
		return -1;
	c->made |= RT_MADE_RANGE;
	if (rt_ctr_save(c, false, e) < 0 || rt_failpoint(RT_FP_create_range, e) < 0)
		return -1;
	c->made |= RT_MADE_TREE;
	if (rt_store_make(&rt->store, &c->id, e) < 0 || rt_failpoint(RT_FP_create_tree, e) < 0)
		return -1;
	c->made |= RT_MADE_FILES;
	if (rt_files_make(rt, &c->id, e) < 0 || rt_failpoint(RT_FP_create_files, e) < 0)
		return -1;
	return 0;
}

static int fill(struct rt_ctr *c, const struct rt_create_req *req, struct qt_err *e)
{
	c->id = req->id;
	c->tenant = req->tenant;
	c->phase = RT_PH_MAKING;
	c->state = RT_ST_CREATED;
	c->memory_mb = req->memory_mb;
	c->cpu_centi = req->cpu_centi;
	c->strict = req->strict;
	c->created_ms = (uint64_t)qt_now_ms();
	if (!qt_copy(c->hostname, sizeof(c->hostname), req->hostname.s) ||
	    !qt_copy(c->image, sizeof(c->image), req->image.s) || !qt_copy(c->workdir, sizeof(c->workdir), req->workdir.s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a text too long");
	return rt_ctr_set_record(c, req->record, e);
}

static int check_create(struct rt *rt, const struct rt_create_req *req, struct qt_err *e)
{
	const struct rt_ctr *left = rt_ctr_find(&rt->leaving, &req->id);
	struct rt_image image;
	struct qt_id id;

	if (!qt_id_parse(&id, "ctr", req->id.s) || !qt_id_parse(&id, "ten", req->tenant.s) || req->strict > 1)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "create: an id of another kind, or strict is not 0 or 1");
	if (check_hostname(&req->hostname, e) < 0 || check_workdir(&req->workdir, e) < 0 ||
	    check_words(&req->argv, &req->env, e) < 0 || check_limits(rt, req->memory_mb, req->cpu_centi, e) < 0)
		return -1;
	if (left)
		return qt_fail(e, QT_E_UNAVAILABLE, "a container of this id is being taken away");
	if (rt->ctrs.n >= rt->conf.max_containers)
		return qt_fail(e, QT_E_CAPACITY_FULL, "the node has its %u containers", (unsigned)rt->conf.max_containers);
	if (check_room(rt, req->memory_mb, e) < 0)
		return -1;
	return rt_store_image(&rt->store, req->image.s, &image, e);
}

static void answer_create(const struct rt_ctr *c, struct rt_answer *a)
{
	struct rt_create_rep *rep = a->rep;

	rt_net_text(a->scratch, 16, c->addr.ip);
	*rep = (struct rt_create_rep){.pid = (uint32_t)c->pid, .ip = rt_str(a->scratch), .started_ms = c->started_ms};
}

int rt_op_create(struct rt *rt, struct rt_ctr *there, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_create_req *req = req_;
	const struct run run = {&req->argv,	     &req->env,		   RT_FP_create_cgroup, RT_FP_create_socket,
				RT_FP_create_spawn, RT_FP_create_attach, RT_FP_create_net,	RT_FP_create_ready};
	struct rt_ctr *c;

	if (there) {
		/* A worker that lost the answer asks again. */
		if (!qt_streq(there->tenant.s, req->tenant.s))
			return qt_fail(e, QT_E_CONFLICT, "there is a container of this id");
		answer_create(there, a);
		return 0;
	}
	if (check_create(rt, req, e) < 0 || rt_failpoint(RT_FP_create_intent, e) < 0)
		return -1;
	c = rt_ctr_new(rt, e);
	if (!c)
		return -1;
	if (fill(c, req, e) < 0 || rt_ctr_insert(&rt->ctrs, c, e) < 0) {
		rt_ctr_free(c);
		return -1;
	}
	if (make_keep(c, e) < 0 || bring_up(c, &run, e) < 0 || commit(c, RT_FP_create_commit, e) < 0) {
		struct qt_err ignored = {0};

		(void)rt_journal_drop(&rt->journal, &c->id, &ignored);
		rt_ctr_remove(&rt->ctrs, c);
		rt_abandon(c);
		return -1;
	}
	rt_event(rt, &c->id, RT_EV_CREATED, 0);
	answer_create(c, a);
	return 0;
}

/* --- start --------------------------------------------------------------------------------------------- */

int rt_op_start(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_start_req *req = req_;
	const struct run run = {&req->argv,	    &req->env,		RT_FP_start_cgroup, RT_FP_start_socket,
				RT_FP_start_spawn, RT_FP_start_attach, RT_FP_start_net,	   RT_FP_start_ready};
	struct rt_start_rep *rep = a->rep;
	const struct rt_ctr before = *c;

	if (check_hostname(&req->hostname, e) < 0 || check_words(&req->argv, &req->env, e) < 0 ||
	    check_room(rt, c->memory_mb, e) < 0)
		return -1;
	/* The link of the run before goes with its namespace, when the kernel comes to it. */
	if (if_nametoindex(c->addr.link) != 0)
		return RT_AGAIN;
	(void)qt_copy(c->hostname, sizeof(c->hostname), req->hostname.s);
	c->phase = RT_PH_STARTING;
	if (rt_failpoint(RT_FP_start_intent, e) < 0 || rt_ctr_save(c, false, e) < 0 || bring_up(c, &run, e) < 0 ||
	    commit(c, RT_FP_start_commit, e) < 0) {
		c->state = before.state;
		c->started_ms = before.started_ms;
		c->exited_ms = before.exited_ms;
		c->exit_code = before.exit_code;
		rt_life_ended(c);
		return -1;
	}
	rt_event(rt, &c->id, RT_EV_STARTED, 0);
	rt_net_text(a->scratch, 16, c->addr.ip);
	*rep = (struct rt_start_rep){.pid = (uint32_t)c->pid, .ip = rt_str(a->scratch), .started_ms = c->started_ms};
	return 0;
}

/* --- stop, kill, delete -------------------------------------------------------------------------------- */

int rt_op_stop(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_stop_req *req = req_;
	uint32_t timeout_ms = req->timeout_ms < STOP_MAX_MS ? req->timeout_ms : STOP_MAX_MS;

	(void)rt;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	a->extra_ms = timeout_ms;
	if (!c->ending)
		rt_life_stop(c, timeout_ms);
	return RT_LATER;
}

int rt_op_kill(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)rt;
	(void)req;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	rt_life_kill(c);
	return RT_LATER;
}

int rt_op_delete(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)rt;
	(void)req;
	if (rt_life_wait(c, &a->call, e) < 0)
		return -1;
	c->deleting = true;
	if (c->state == RT_ST_RUNNING)
		rt_life_kill(c);
	else if (!c->ending)
		rt_life_remove(c);
	return RT_LATER;
}
