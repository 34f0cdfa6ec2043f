/* The requests that start a container. Which privileges each uses, and what it would be worth to a hostile worker, stands in its row in
 * ops.c, which prints it. */
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "begin.h"
#include "cleanup.h"
#include "check.h"
#include "clock.h"
#include "copy.h"
#include "files.h"
#include "layers.h"
#include "gpus.h"
#include "life.h"
#include "msg.h"
#include "peer.h"
#include "proc.h"
#include "str.h"
#include "undo.h"
#include "volumes.h"

#define SPAWN_MS       5000 /* it takes 2; everybody waits while a child hangs */
#define ENV_BYTES      24576 /* the most that a request has (ops.def), and what GPUs add */

/* What is to run: of CREATE and of START. */
struct run {
	const struct rt_strv *argv, *env;
	struct rt_str user;
	uint32_t stop_signal;
	enum rt_failpoint cgroup, socket, spawn, attach, net, ready;
};

/* --- bringing up --------------------------------------------------------------------------------------- */

struct attach {
	struct rt_ctr *c;
	const struct run *run;
};

static int attach(void *arg, pid_t pid, struct qt_err *e)
{
	struct attach *a = arg;

	(void)pid;
	return rt_failpoint(a->run->attach, e);
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

struct layers {
	int fds[RT_LAYERS_MAX];
	unsigned n;
};

static void close_layers(struct layers *l)
{
	while (l->n > 0)
		qt_close(l->fds[--l->n]);
}

static int make_config(struct rt_ctr *c, const struct run *run, const struct rt_gpus *gpus, struct qt_err *e)
{
	auto_free char *buf = malloc(ENV_BYTES);
	struct rt_strv env;

	if (!buf)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (rt_gpus_env(gpus, run->env, &env, buf, ENV_BYTES, e) < 0)
		return -1;
	return rt_files_config(c->rt, run->argv, &env, env.len - run->env->len, c->workdir[0] ? c->workdir : "/", run->user.s,
			       run->stop_signal, e);
}

static int spawn(struct rt_ctr *c, const struct run *run, int listen_fd, const struct rt_gpus *gpus, struct qt_err *e)
{
	struct rt *rt = c->rt;
	QT_AUTO(close_layers) struct layers low = {.n = 0};
	auto_close int upper = -1, work = -1, config = -1;
	auto_close int log0 = -1, log1 = -1, status = -1;
	QT_AUTO(rt_volumes_close) struct rt_volumes vols = {.n = 0};
	struct attach a = {.c = c, .run = run};
	int log[2];

	if (rt_image_layers(rt, c->image, low.fds, &low.n, e) < 0 || rt_store_tree(&rt->store, &c->id, &upper, &work, e) < 0 ||
	    rt_volumes_open(rt, &c->volumes, &vols, e) < 0 || rt_files_open(rt, &c->id, log, &status, e) < 0)
		return -1;
	log0 = log[0];
	log1 = log[1];
	config = make_config(c, run, gpus, e);
	if (config < 0)
		return -1;

	const struct rt_spawn what = {
		.id = c->id,
		.hostname = c->hostname,
		.uid_base = (uint32_t)rt->conf.uid_base + c->range * 65536U,
		.strict = c->strict != 0,
		.lower_fds = low.fds,
		.n_lower = low.n,
		.upper_fd = upper,
		.work_fd = work,
		.resolv_conf = rt->resolv_conf,
		.workdir = c->workdir[0] ? c->workdir : "/",
		.mounts = vols.mounts,
		.n_mounts = vols.n,
		.extras = {gpus->nodes, gpus->files, gpus->links, gpus->n_nodes, gpus->n_files, gpus->n_links},
		.listen_fd = listen_fd,
		.log_fd = {log[0], log[1]},
		.status_fd = status,
		.config_fd = config,
		.attach = attach,
		.connect = connect_net,
		.arg = &a,
	};

	if (rt_failpoint(run->spawn, e) < 0)
		return -1;
	c->gone = false;
	if (rt_spawn(qt_take(&c->spare), &what, SPAWN_MS, &c->pid, &c->pidfd, e) < 0)
		return -1;
	c->is_child = true;
	c->start_time = qt_start_time(c->pid);
	return rt_failpoint(run->ready, e);
}

/* From a tree and an address to an init that said ready. What was made is in c->made, also on failure. */
static int bring_up(struct rt_ctr *c, const struct run *run, struct qt_err *e)
{
	struct rt *rt = c->rt;
	QT_AUTO(rt_gpus_close) struct rt_gpus gpus = {.n_nodes = 0};
	auto_close int listen_fd = qt_take_fd(&c->listen_fd);

	if (rt_gpus_open(rt, &c->gpus, &gpus, e) < 0 || rt_begin_group(c, &gpus, e) < 0 || rt_failpoint(run->cgroup, e) < 0 ||
	    rt_begin_process(c, e) < 0)
		return -1;
	c->made |= RT_MADE_SOCKET;
	if (listen_fd < 0)
		listen_fd = rt_files_listen(rt, &c->id, e);
	if (listen_fd < 0 || rt_failpoint(run->socket, e) < 0)
		return -1;
	return spawn(c, run, listen_fd, &gpus, e);
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

/* A create whose layer is being copied. */
struct pending {
	struct rt_ctr *c;
	struct rt_create_req *req; /* a copy, texts and all */
};

/* Of SPARE, if there is one, C has its range of ids. */
static int make_numbers(struct rt_ctr *c, struct rt_ctr *spare, struct qt_err *e)
{
	struct rt *rt = c->rt;

	/* These two are only numbers in our memory, so far: their bits follow success. */
	if (rt_net_reserve(rt->net, &c->addr, e) < 0)
		return -1;
	c->made |= RT_MADE_ADDR;
	if (spare && spare->made & RT_MADE_RANGE) {
		c->range = spare->range;
		spare->made &= ~RT_MADE_RANGE;
	} else if (rt_ranges_take(&rt->ranges, &c->range, e) < 0) {
		return -1;
	}
	c->made |= RT_MADE_RANGE;
	if (rt_ctr_save(c, false, e) < 0 || rt_failpoint(RT_FP_create_range, e) < 0)
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
	if (!qt_copy(c->hostname, sizeof(c->hostname), req->hostname.s) || !qt_copy(c->workdir, sizeof(c->workdir), req->workdir.s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a text too long");
	if (rt_image_choose(c->rt, req->image.s, req->from.s, c->image, e) < 0 || rt_ctr_set_record(c, req->record, e) < 0 ||
	    rt_ctr_set_list(&c->volumes, req->volumes, e) < 0)
		return -1;
	return rt_ctr_set_list(&c->gpus, req->gpus, e);
}

/* What a fork or a clone is made of: there, whole, and of the same tenant. */
static int check_from(const struct rt *rt, const struct rt_create_req *req, struct qt_err *e)
{
	struct qt_id id;

	if (req->from.len == 0)
		return 0;
	if (qt_id_parse(&id, "ctr", req->from.s)) {
		const struct rt_ctr *from = rt_ctr_find(&rt->ctrs, &id);

		if (!from || from->phase == RT_PH_MAKING || from->deleting || !qt_streq(from->tenant.s, req->tenant.s))
			return qt_fail(e, QT_E_CONTAINER_NOT_FOUND, "there is no such container to fork");
		return 0;
	}
	if (qt_id_parse(&id, "snap", req->from.s)) {
		const struct rt_obj *from = rt_obj_find(&rt->objs, id.s);

		if (!from || from->making || !qt_streq(from->tenant.s, req->tenant.s))
			return qt_fail(e, QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot to clone");
		return 0;
	}
	return qt_fail(e, QT_E_VALIDATION_ERROR, "create: from is neither a container nor a snapshot");
}

static int check_create(struct rt *rt, const struct rt_create_req *req, struct qt_err *e)
{
	const struct rt_ctr *left = rt_ctr_find(&rt->leaving, &req->id);
	struct qt_id id;

	if (!qt_id_parse(&id, "ctr", req->id.s) || !qt_id_parse(&id, "ten", req->tenant.s) || req->strict > 1 || req->no_start > 1 ||
	    req->consistency > RT_APP_CONSISTENT)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "create: an id of another kind, or a number that means nothing");
	if (rt_check_hostname(&req->hostname, e) < 0 || rt_check_workdir(&req->workdir, e) < 0 ||
	    rt_check_words(&req->argv, &req->env, e) < 0 || rt_check_run(&req->user, req->stop_signal, e) < 0 ||
	    rt_check_limits(rt, req->memory_mb, req->cpu_centi, e) < 0 ||
	    rt_volumes_check(rt, &req->tenant, &req->volumes, e) < 0 || check_from(rt, req, e) < 0 ||
	    rt_gpus_check(rt, NULL, &req->gpus, e) < 0)
		return -1;
	if (left)
		return qt_fail(e, QT_E_UNAVAILABLE, "a container of this id is being taken away");
	if (rt->ctrs.n >= rt->conf.max_containers)
		return qt_fail(e, QT_E_CAPACITY_FULL, "the node has its %u containers", (unsigned)rt->conf.max_containers);
	if ((!req->no_start && rt_check_room(rt, req->memory_mb, e) < 0) || rt_store_room(&rt->store, e) < 0)
		return -1;
	return rt_image_check(rt, &req->tenant, req->image.s, e);
}

static void answer_create(const struct rt_ctr *c, char ip[16], struct rt_create_rep *rep)
{
	rt_net_text(ip, 16, c->addr.ip);
	rep->pid = (uint32_t)c->pid;
	rep->ip = rt_str(ip);
	rep->started_ms = c->started_ms;
}

/* Behind the layer: all that is left. */
static int end_create(struct rt_ctr *c, const struct rt_create_req *req, struct qt_err *e)
{
	const struct run run = {&req->argv,	     &req->env,		   req->user, req->stop_signal, RT_FP_create_cgroup, RT_FP_create_socket,
				RT_FP_create_spawn, RT_FP_create_attach, RT_FP_create_net,	RT_FP_create_ready};

	if (rt_failpoint(RT_FP_create_tree, e) < 0)
		return -1;
	if (!(c->made & RT_MADE_FILES)) {
		c->made |= RT_MADE_FILES;
		if (rt_files_make(c->rt, &c->id, e) < 0)
			return -1;
	}
	if (rt_failpoint(RT_FP_create_files, e) < 0)
		return -1;
	if (!req->no_start) {
		if (rt_check_room(c->rt, c->memory_mb, e) < 0 || bring_up(c, &run, e) < 0 || commit(c, RT_FP_create_commit, e) < 0)
			return -1;
	} else {
		c->phase = RT_PH_WHOLE;
		if (rt_ctr_save(c, true, e) < 0 || rt_failpoint(RT_FP_create_commit, e) < 0)
			return -1;
	}
	rt_event(c->rt, &c->id, RT_EV_CREATED, 0);
	return 0;
}

static void undo_create(struct rt_ctr *c)
{
	struct qt_err ignored = {0};

	(void)rt_journal_drop(&c->rt->journal, &c->id, &ignored);
	rt_ctr_remove(&c->rt->ctrs, c);
	rt_image_left(c->rt, c->image);
	rt_life_gone(c); /* who asked to delete it meanwhile */
	rt_abandon(c);
}

static void free_pending(void *arg)
{
	struct pending *p = arg;

	free(p->req);
	free(p);
}

static void copied(struct rt_copy *copy, struct qt_err *e)
{
	struct rt_create_rep rep = {.paused_us = copy->result->paused_us, .flush_us = copy->result->flush_us};
	struct pending *p = copy->arg;
	char ip[16];

	if (e->code == QT_OK && end_create(p->c, p->req, e) == 0) {
		answer_create(p->c, ip, &rep);
		rt_copy_answer(copy, &rep);
	} else {
		undo_create(p->c);
		rt_copy_refuse(copy, e);
	}
}

/* The source's layer becomes the new container's. */
static int add_layer(struct rt_copy *copy, const struct rt_ctr *c, const struct rt_create_req *req, struct qt_err *e)
{
	const struct rt_store *s = &c->rt->store;
	auto_close int snap = -1;

	if (copy->source.s[0])
		return rt_copy_add(copy, s->ctr_fd, req->from.s, s->ctr_fd, c->id.s, s->ctr_limit, e);
	(void)qt_copy(copy->snapshot.s, sizeof(copy->snapshot.s), req->from.s);
	snap = openat(s->snap_fd, req->from.s, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return rt_copy_add(copy, snap, "ctr", s->ctr_fd, c->id.s, s->ctr_limit, e);
}

static int copy_layer(struct rt_ctr *c, const struct rt_create_req *req, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_op_shape *shape = &rt_shapes[RT_CREATE];
	struct pending *p = calloc(1, sizeof(*p));
	struct rt_copy *copy;
	struct qt_id from;

	if (!p || !(p->req = rt_dup(shape->req, shape->n_req, req, sizeof(*req)))) {
		free(p);
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	p->c = c;
	copy = rt_copy_new(c->rt, &c->tenant, &c->id, qt_id_parse(&from, "ctr", req->from.s) ? &from : NULL, e);
	if (!copy || add_layer(copy, c, req, e) < 0 || rt_copy_wait(copy, &a->call, e) < 0) {
		rt_copy_free(copy);
		free_pending(p);
		return -1;
	}
	copy->consistency = (enum rt_consistency)req->consistency;
	copy->release = free_pending;
	c->made |= RT_MADE_TREE;
	rt_copy_start(copy, copied, p);
	a->extra_ms = RT_COPY_MAX_MS;
	return RT_LATER;
}

static int make(struct rt_ctr *c, const struct rt_create_req *req, struct rt_answer *a, struct qt_err *e)
{
	bool copies = req->from.len > 0;
	struct rt_ctr *spare = copies || req->no_start ? NULL : rt_spares_take(c->rt);
	int r = make_numbers(c, spare, e);

	/* Also on failure: then it is undone with C. */
	if (spare)
		rt_spares_give(spare, c);
	if (r < 0)
		return -1;
	if (copies)
		return copy_layer(c, req, a, e);
	if (!(c->made & RT_MADE_TREE)) {
		c->made |= RT_MADE_TREE;
		if (rt_store_make(&c->rt->store, &c->id, e) < 0)
			return -1;
	}
	if (end_create(c, req, e) < 0)
		return -1;
	answer_create(c, a->scratch, a->rep);
	return 0;
}

/* A worker that lost the answer asks again. */
static int create_again(struct rt *rt, struct rt_ctr *c, const struct rt_create_req *req, struct rt_answer *a, struct qt_err *e)
{
	struct rt_copy *copy = rt_copy_of(rt, &c->id);

	if (!qt_streq(c->tenant.s, req->tenant.s))
		return qt_fail(e, QT_E_CONFLICT, "there is a container of this id");
	if (c->phase != RT_PH_MAKING) {
		answer_create(c, a->scratch, a->rep);
		return 0;
	}
	a->extra_ms = RT_COPY_MAX_MS;
	return !copy ? qt_fail(e, QT_E_UNAVAILABLE, "not now") : rt_copy_wait(copy, &a->call, e) < 0 ? -1 : RT_LATER;
}

int rt_op_create(struct rt *rt, struct rt_ctr *there, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_create_req *req = req_;
	struct rt_ctr *c;
	int r;

	if (there)
		return create_again(rt, there, req, a, e);
	if (check_create(rt, req, e) < 0 || rt_failpoint(RT_FP_create_intent, e) < 0)
		return -1;
	c = rt_ctr_new(rt, e);
	if (!c)
		return -1;
	if (fill(c, req, e) < 0 || rt_ctr_insert(&rt->ctrs, c, e) < 0) {
		rt_ctr_free(c);
		return -1;
	}
	r = make(c, req, a, e);
	if (r < 0)
		undo_create(c);
	return r;
}

/* --- start --------------------------------------------------------------------------------------------- */

int rt_op_start(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_start_req *req = req_;
	const struct run run = {&req->argv,	    &req->env,		req->user, req->stop_signal, RT_FP_start_cgroup, RT_FP_start_socket,
				RT_FP_start_spawn, RT_FP_start_attach, RT_FP_start_net,	   RT_FP_start_ready};
	struct rt_start_rep *rep = a->rep;
	struct rt_ctr before;

	if (rt_check_hostname(&req->hostname, e) < 0 || rt_check_words(&req->argv, &req->env, e) < 0 ||
	    rt_check_run(&req->user, req->stop_signal, e) < 0 || rt_check_room(rt, c->memory_mb, e) < 0 || rt_volumes_check(rt, &c->tenant, &req->volumes, e) < 0 ||
	    rt_gpus_check(rt, c, &req->gpus, e) < 0)
		return -1;
	/* Nobody freezes what was at rest when its copying began. */
	if (rt_copy_from(rt, &c->id))
		return RT_AGAIN;
	/* The link of the run before goes with its namespace, when the kernel comes to it. */
	if (if_nametoindex(c->addr.link) != 0)
		return RT_AGAIN;
	before = *c;
	if (rt_ctr_set_list(&c->volumes, req->volumes, e) < 0 || rt_ctr_set_list(&c->gpus, req->gpus, e) < 0)
		return -1;
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
