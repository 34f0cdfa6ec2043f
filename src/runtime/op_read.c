/* The requests that change nothing, and the record, which means nothing here. Privileges: see the rows in ops.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blobs.h"
#include "cleanup.h"
#include "clock.h"
#include "dirs.h"
#include "fdio.h"
#include "files.h"
#include "layers.h"
#include "log.h"
#include "peer.h"
#include "rootpath.h"
#include "str.h"

#define PING_MS	  4000 /* the init has no more cpu and memory than its container, which may burn all of both: a second was seen */
#define LIST_MAX  512
#define TEXTS_MAX 20480 /* the maximum of both lists in ops.def */

int rt_op_hello(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_hello_req *req = req_;

	(void)c;
	if (req->protocol != RT_PROTOCOL)
		return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime speaks version %u of the protocol, not %u", RT_PROTOCOL,
			       req->protocol);
	*(struct rt_hello_rep *)a->rep = (struct rt_hello_rep){.protocol = RT_PROTOCOL,
							       .version = rt_str(PACKAGE_VERSION),
							       .node = rt_str(rt->conf.node),
							       .started_ms = (uint64_t)rt->started_ms};
	return 0;
}

int rt_op_info(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	struct rt_info_rep *rep = a->rep;

	(void)c;
	(void)req;
	(void)e;
	*rep = (struct rt_info_rep){.containers = rt->ctrs.n,
				    .cpus = rt->cpus,
				    .memory_bytes = rt->memory_bytes,
				    .cgroup_version = rt_cgroups_version(rt->cgroups),
				    .storage_driver = rt_str(rt_store_driver_name(&rt->store))};
	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		rep->running += rt->ctrs.v[i]->state == RT_ST_RUNNING;
	rt_cdi_look(rt->cdi);
	rep->gpus = rt_cdi_count(rt->cdi);
	rt_store_space(&rt->store, &rep->pool_bytes, &rep->pool_free_bytes);
	return 0;
}

int rt_op_get(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)rt;
	(void)req;
	(void)e;
	rt_net_text(a->scratch, 16, c->addr.ip);
	*(struct rt_get_rep *)a->rep = (struct rt_get_rep){.state = c->state,
							   .pid = c->state == RT_ST_RUNNING ? (uint32_t)c->pid : 0,
							   .exit_code = c->exit_code,
							   .ip = rt_str(a->scratch),
							   .created_ms = c->created_ms,
							   .started_ms = c->started_ms,
							   .exited_ms = c->exited_ms,
							   .tenant = c->tenant,
							   .record = {c->record, c->record_len}};
	return 0;
}

int rt_op_list(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_list_req *req = req_;
	struct rt_list_rep *rep = a->rep;
	uint32_t i = rt_ctr_after(&rt->ctrs, req->after.s);

	(void)c;
	(void)e;
	rep->ids.s = a->scratch;
	for (; i < rt->ctrs.n && rep->ids.n < LIST_MAX; i++)
		if (rt->ctrs.v[i]->phase != RT_PH_MAKING && !rt_strv_add(&rep->ids, a->scratch, TEXTS_MAX, rt->ctrs.v[i]->id.s))
			break;
	return 0;
}

int rt_op_record(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_record_req *req = req_;
	char *old = qt_take(&c->record);
	uint32_t old_len = c->record_len;

	(void)rt;
	(void)a;
	if (rt_ctr_set_record(c, req->record, e) < 0 || rt_ctr_save(c, true, e) < 0) {
		free(c->record);
		c->record = old;
		c->record_len = old_len;
		return -1;
	}
	free(old);
	return 0;
}

int rt_op_connect(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	auto_close int fd = rt_files_connect(rt, &c->id, e);

	(void)req;
	if (fd < 0 || qt_set_nonblock(fd, false, e) < 0)
		return -1;
	a->fds[0] = qt_take_fd(&fd);
	return 0;
}

int rt_op_logs(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)req;
	return rt_files_logs(rt, &c->id, a->fds, e);
}

/* --- check --------------------------------------------------------------------------------------------- */

/* A ping under way. It outlives its container, if it must: it has the id, not the struct. */
struct check {
	struct rt *rt;
	struct rt_call call;
	struct qt_id id;
	int fd;
	rt_watch_t watch;
	struct rt_timer timer;
	struct rt_later release;
};

static bool network_well(struct rt *rt, const struct rt_ctr *c)
{
	auto_close int fd = -1;
	char path[64];

	(void)qt_fmt(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && rt_net_ok(rt->net, &c->addr, fd);
}

static bool image_well(struct rt *rt, const struct rt_ctr *c)
{
	struct rt_image image;
	struct qt_err e = {0};

	/* A pulled image has no contract but that its root is there, with our init in it. */
	if (qt_starts(c->image, "img_"))
		return rt_image_check(rt, &c->tenant, c->image, &e) == 0 && rt_contract_holds(c->pid, "", 0);
	return rt_managed_conf(&rt->store, c->image, &image, &e) == 0 &&
	       rt_contract_holds(c->pid, image.require, image.require_len);
}

static void fill_check(struct rt *rt, const struct rt_ctr *c, bool pinged, char *ip, struct rt_check_rep *rep)
{
	rt_net_text(ip, 16, c->addr.ip);
	*rep = (struct rt_check_rep){.ip = rt_str(ip), .link = rt_str(c->addr.link)};
	if (c->state != RT_ST_RUNNING || c->gone)
		return;
	rep->pid = (uint32_t)c->pid;
	rep->checks = RT_CHECK_RUNNING;
	if (pinged)
		rep->checks |= RT_CHECK_INIT;
	if (network_well(rt, c))
		rep->checks |= RT_CHECK_NETWORK;
	if (image_well(rt, c))
		rep->checks |= RT_CHECK_IMAGE;
}

static void free_check(void *arg)
{
	free(arg);
}

static void end_check(struct check *k, bool pinged)
{
	const struct rt_ctr *c = rt_ctr_find(&k->rt->ctrs, &k->id);
	struct rt_check_rep rep;
	struct qt_err e = {0};
	char ip[16];

	rt_timer_clear(k->rt->loop, &k->timer);
	rt_loop_del(k->rt->loop, &k->watch);
	qt_reset_fd(&k->fd, -1);
	if (c) {
		fill_check(k->rt, c, pinged, ip, &rep);
		rt_answer(k->rt, &k->call, &rep);
	} else {
		(void)qt_fail(&e, QT_E_CONTAINER_NOT_FOUND, "there is no such container");
		rt_refuse(k->rt, &k->call, &e);
	}
	rt_loop_later(k->rt->loop, &k->release, free_check, k);
}

static void on_pong(void *arg, uint32_t events)
{
	struct check *k = arg;
	struct {
		struct mi_msg m;
		struct mi_pong pong;
	} in;
	ssize_t n = recv(k->fd, &in, sizeof(in), MSG_DONTWAIT | MSG_TRUNC);

	(void)events;
	/* Hostile or not, it says one thing only: that it answers. */
	end_check(k, n >= (ssize_t)sizeof(in.m) && in.m.magic == MI_MAGIC && in.m.kind == MI_PONG);
}

/* It may have come all the same, while the runtime was busy with others. */
static void no_pong(void *arg)
{
	on_pong(arg, 0);
}

int rt_op_check(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	const struct mi_msg ping = {.magic = MI_MAGIC, .kind = MI_PING};
	struct qt_err deaf = {0};
	auto_close int fd = c->state == RT_ST_RUNNING ? rt_files_connect(rt, &c->id, &deaf) : -1;
	struct check *k;

	(void)req;
	if (fd < 0 || qt_send_fds(fd, &ping, sizeof(ping), NULL, 0, &deaf) < 0) {
		fill_check(rt, c, false, a->scratch, a->rep);
		return 0;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*k = (struct check){.rt = rt, .call = a->call, .id = c->id, .fd = -1};
	if (rt_loop_add(rt->loop, fd, EPOLLIN, on_pong, k, &k->watch, e) < 0 ||
	    rt_timer_set(rt->loop, &k->timer, PING_MS, no_pong, k, e) < 0) {
		rt_loop_del(rt->loop, &k->watch);
		free(k);
		return -1;
	}
	k->fd = qt_take_fd(&fd);
	return RT_LATER;
}

/* --- counters, images, events -------------------------------------------------------------------------- */

int rt_op_stats(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	struct rt_cgroup_stats g;
	struct rt_net_stats n;

	(void)req;
	(void)e;
	if (c->state != RT_ST_RUNNING)
		return 0; /* zeros */
	rt_cgroup_stats(rt->cgroups, &c->id, &g);
	rt_net_stats(rt->net, &c->addr, &n);
	*(struct rt_stats_rep *)a->rep = (struct rt_stats_rep){.cpu_usage_usec = g.cpu_usage_usec,
							       .cpu_user_usec = g.cpu_user_usec,
							       .cpu_system_usec = g.cpu_system_usec,
							       .cpu_throttled_usec = g.cpu_throttled_usec,
							       .memory_current_bytes = g.memory_current,
							       .memory_peak_bytes = g.memory_peak,
							       .memory_limit_bytes = g.memory_limit,
							       .memory_cache_bytes = g.memory_cache,
							       .memory_rss_bytes = g.memory_rss,
							       .memory_oom_kills = g.oom_kills,
							       .network_rx_bytes = n.rx_bytes,
							       .network_tx_bytes = n.tx_bytes,
							       .network_rx_packets = n.rx_packets,
							       .network_tx_packets = n.tx_packets,
							       .network_rx_errors = n.rx_errors,
							       .network_tx_errors = n.tx_errors,
							       .disk_read_bytes = g.read_bytes,
							       .disk_write_bytes = g.write_bytes,
							       .disk_read_ops = g.read_ops,
							       .disk_write_ops = g.write_ops,
							       .pids = g.pids};
	return 0;
}

/* The least name above AFTER: no list to hold, no order to keep; there are few images. */
struct pick {
	const char *after;
	char best[129];
};

static int pick(const char *name, void *arg, struct qt_err *e)
{
	struct pick *p = arg;

	(void)e;
	if (rt_image_name_ok(name) && strcmp(name, p->after) > 0 && (!p->best[0] || strcmp(name, p->best) < 0))
		(void)qt_copy(p->best, sizeof(p->best), name);
	return 0;
}

static bool add_image(struct rt_strv *v, char *buf, const struct rt_image *img, const char *name)
{
	char size[24], config[80] = "", layer[80] = "";
	const char *const texts[RT_IMAGE_TEXTS] = {name, img->version, img->digest, img->kind, size, config, layer};
	bool fits = true;

	(void)snprintf(size, sizeof(size), "%llu", (unsigned long long)img->size_bytes);
	if (img->layer[0]) {
		(void)snprintf(config, sizeof(config), "sha256:%s", img->config);
		(void)snprintf(layer, sizeof(layer), "sha256:%s", img->layer);
	}
	for (size_t i = 0; i < RT_IMAGE_TEXTS && fits; i++)
		fits = rt_strv_add(v, buf, TEXTS_MAX, texts[i]);
	return fits;
}

int rt_op_images(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_images_req *req = req_;
	struct rt_images_rep *rep = a->rep;
	char after[129];

	(void)c;
	(void)qt_copy(after, sizeof(after), req->after.s);
	rep->images.s = a->scratch;
	for (;;) {
		struct pick p = {.after = after};
		struct rt_strv before = rep->images;
		struct rt_image img;
		struct qt_err broken = {0};

		if (rt_dir_each(rt->store.images_fd, pick, &p, e) < 0)
			return -1;
		if (!p.best[0])
			return 0;
		if (rt_managed_conf(&rt->store, p.best, &img, &broken) == 0 &&
		    !add_image(&rep->images, a->scratch, &img, p.best)) {
			rep->images = before; /* all its texts or none */
			return 0;
		}
		(void)qt_copy(after, sizeof(after), p.best);
	}
}

static int open_novnc(struct rt *rt, const struct rt_image_file_req *req, struct qt_err *e)
{
	auto_close int root = rt_managed_root(&rt->store, req->image.s, e), dir = -1;
	struct qt_err why = {0};
	int fd = -1;

	if (root < 0)
		return -1;
	dir = qt_open_beneath(root, "usr/share/novnc", O_PATH | O_DIRECTORY, 0, &why);
	if (dir >= 0)
		fd = qt_open_beneath(dir, req->path.s, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &why);
	return fd >= 0 ? fd : qt_fail(e, QT_E_NOT_FOUND, "there is no such file");
}

static int open_document(struct rt *rt, const struct rt_image_file_req *req, struct qt_err *e)
{
	const struct rt_obj *o = rt_obj_find(&rt->objs, req->image.s);

	if (!o || o->making)
		return qt_fail(e, QT_E_IMAGE_NOT_FOUND, "there is no such image");
	return rt_blob_document(rt, o, req->path.s, e);
}

int rt_op_image_file(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_image_file_req *req = req_;
	auto_close int fd = qt_starts(req->image.s, "img_") ? open_document(rt, req, e) : open_novnc(rt, req, e);
	struct stat st;

	(void)c;
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return qt_fail(e, QT_E_NOT_FOUND, "there is no such file");
	((struct rt_image_file_rep *)a->rep)->size_bytes = (uint64_t)st.st_size;
	a->fds[0] = qt_take_fd(&fd);
	return 0;
}

int rt_op_watch(struct rt *rt, struct rt_ctr *c, const void *req, struct rt_answer *a, struct qt_err *e)
{
	(void)c;
	(void)req;
	(void)e;
	rt_peer_watch(rt, &a->call);
	rt_images_sweep(rt); /* an agent that comes is the heir of one that died */
	return 0;
}
