/* Three lists are made to agree: the journal, the kernel, the disk. What the journal says was made and runs is adopted; what ended is
 * recorded; everything of ours that it does not know is taken away. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "dirs.h"
#include "files.h"
#include "layers.h"
#include "life.h"
#include "log.h"
#include "runtime.h"
#include "proc.h"
#include "str.h"
#include "undo.h"

#define UNDO_MS 10000
#define THAW_MS 1000

static int load_one(const struct rt_entry *en, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;
	struct rt_ctr *c = rt_ctr_new(rt, e);

	if (!c)
		return -1;
	if (rt_ctr_load(c, en, e) < 0 || rt_ctr_insert(&rt->ctrs, c, e) < 0) {
		rt_ctr_free(c);
		return -1;
	}
	return 0;
}

/* --- each container of the journal --------------------------------------------------------------------- */

static bool is_alive(struct rt_ctr *c)
{
	if (!c->same_boot || c->pid <= 0 || c->start_time == 0)
		return false;
	/* First the handle, then the look: whoever has this pid and that start time is who the handle is of. */
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd >= 0 && qt_start_time(c->pid) == c->start_time)
		return true;
	qt_reset_fd(&c->pidfd, -1);
	return false;
}

/* Address and id range, as the journal remembers them. One that does not run may get others, if the settings have changed. */
static int take_numbers(struct rt_ctr *c, bool running, struct qt_err *e)
{
	struct rt *rt = c->rt;
	struct qt_err why = {0};

	if (rt_net_reserve_this(rt->net, &c->addr, &why) < 0) {
		if (running) {
			*e = why;
			return qt_context(e, "container %s runs with an address that the settings no longer have", c->id.s);
		}
		qt_log_err(QT_LOG_WARN, &why, "container %s gets another address", c->id.s);
		if (rt_net_reserve(rt->net, &c->addr, e) < 0)
			return -1;
	}
	c->made |= RT_MADE_ADDR;
	qt_err_reset(&why);
	if (rt_ranges_take_this(&rt->ranges, c->range, &why) < 0) {
		if (running) {
			*e = why;
			return qt_context(e, "container %s runs with ids that the settings no longer have", c->id.s);
		}
		if (rt_ranges_take(&rt->ranges, &c->range, e) < 0)
			return -1;
	}
	c->made |= RT_MADE_RANGE;
	return 0;
}

static void undo_run(struct rt_ctr *c)
{
	if (!rt_undo_now(c, RT_MADE_RUN, UNDO_MS))
		qt_log(QT_LOG_ERROR, "container %s: something of its run is left on the host", c->id.s);
}

static int adopt(struct rt_ctr *c, struct qt_err *e)
{
	struct qt_err why = {0};

	c->made |= RT_MADE_ALL;
	/* The last runtime may have died while it copied this one. */
	if (rt_cgroup_freeze(c->rt->cgroups, &c->id, false, THAW_MS, &why) < 0)
		qt_log_err(QT_LOG_ERROR, &why, "container %s: cannot be thawed", c->id.s);
	qt_err_reset(&why);
	if (rt_net_adopt(c->rt->net, &c->addr, &c->tenant, &why) < 0)
		qt_log_err(QT_LOG_ERROR, &why, "container %s: its network cannot be put back", c->id.s);
	return rt_life_watch(c, e);
}

static int settle(struct rt_ctr *c, struct qt_err *e)
{
	bool running = c->phase == RT_PH_WHOLE && c->state == RT_ST_RUNNING && is_alive(c);

	if (take_numbers(c, running, e) < 0)
		return -1;
	if (running)
		return adopt(c, e);
	if (c->phase == RT_PH_MAKING) {
		qt_log(QT_LOG_WARN, "container %s was never finished, and is taken away", c->id.s);
		c->made |= RT_MADE_ALL;
		undo_run(c);
		if (rt_journal_drop(&c->rt->journal, &c->id, e) < 0)
			return -1;
		rt_ctr_remove(&c->rt->ctrs, c);
		rt_abandon(c);
		return 0;
	}
	c->made |= RT_MADE_TREE | RT_MADE_FILES;
	if (c->phase == RT_PH_WHOLE && c->state != RT_ST_RUNNING)
		return 0;
	if (c->state == RT_ST_RUNNING) {
		rt_life_read_end(c, c->same_boot);
		c->state = RT_ST_EXITED;
		qt_log(QT_LOG_INFO, "container %s ended meanwhile, with exit code %u", c->id.s, c->exit_code);
	}
	/* Ended, or started half: whatever is left of the run goes. */
	c->made |= RT_MADE_RUN;
	undo_run(c);
	c->gone = false;
	c->pid = 0;
	c->start_time = 0;
	c->phase = RT_PH_WHOLE;
	return rt_ctr_save(c, true, e);
}

/* --- what nobody knows --------------------------------------------------------------------------------- */

static bool runs(struct rt *rt, const char *name)
{
	const struct rt_ctr *c;
	struct qt_id id;

	if (!qt_id_parse(&id, "ctr", name))
		return false;
	c = rt_ctr_find(&rt->ctrs, &id);
	return c && c->state == RT_ST_RUNNING;
}

static bool known(struct rt *rt, const char *name)
{
	struct qt_id id;

	/* The file of its entry is rotten: what the container was nobody knows any more, but its data is somebody's. */
	if (rt_keep_is_bad(&rt->journal, name))
		return true;
	return qt_id_parse(&id, "ctr", name) && rt_ctr_find(&rt->ctrs, &id);
}

static void cgroup_found(const struct qt_id *id, void *arg)
{
	struct rt *rt = arg;
	struct qt_err e = {0};
	struct rt_ctr *c;

	if (runs(rt, id->s))
		return;
	c = rt_ctr_new(rt, &e);
	if (!c)
		return;
	c->id = *id;
	c->made = RT_MADE_CGROUP | RT_MADE_PROCESS;
	qt_log(QT_LOG_WARN, "container %s is unknown: its processes are ended", id->s);
	if (!rt_undo_now(c, RT_MADE_ALL, UNDO_MS))
		qt_log(QT_LOG_ERROR, "the cgroup of %s cannot be removed", id->s);
	rt_ctr_free(c);
}

static bool link_known(const char *link, void *arg)
{
	struct rt *rt = arg;

	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (rt->ctrs.v[i]->state == RT_ST_RUNNING && qt_streq(rt->ctrs.v[i]->addr.link, link))
			return true;
	return false;
}

static int socket_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;
	size_t len = strlen(name);
	char id[64];

	if (len > 5 && len < sizeof(id) && qt_streq(name + len - 5, ".sock")) {
		memcpy(id, name, len - 5);
		id[len - 5] = '\0';
		if (runs(rt, id))
			return 0;
	}
	if (unlinkat(rt->sock_fd, name, 0) < 0 && errno != ENOENT)
		return qt_fail_sys(e, errno, "remove a stale socket");
	return 0;
}

static int files_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	(void)e;
	if (!known(rt, name))
		rt_files_drop(rt, name);
	return 0;
}

static int tree_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	if (known(rt, name))
		return 0;
	qt_log(QT_LOG_WARN, "the layer %.64s belongs to no container, and goes", name);
	return rt_store_drop(&rt->store, rt->store.ctr_fd, name, e);
}

static int copy_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	return rt_store_drop(&rt->store, rt->store.new_fd, name, e);
}

static bool object_known(struct rt *rt, const char *name)
{
	return rt_obj_find(&rt->objs, name) || rt_keep_is_bad(&rt->objs.keep, name);
}

static int snapshot_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	if (object_known(rt, name))
		return 0;
	qt_log(QT_LOG_WARN, "the snapshot %.64s was not finished, or not quite deleted, and goes", name);
	return rt_store_drop(&rt->store, rt->store.snap_fd, name, e);
}

static int image_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	if (object_known(rt, name))
		return 0;
	qt_log(QT_LOG_WARN, "the image %.64s was not finished, or not quite deleted, and goes", name);
	return rt_store_drop(&rt->store, rt->store.img_fd, name, e);
}

static int volume_found(const char *name, void *arg, struct qt_err *e)
{
	struct rt *rt = arg;

	if (object_known(rt, name))
		return 0;
	qt_log(QT_LOG_WARN, "the volume %.64s was not finished, or not quite deleted, and goes", name);
	return rt_store_drop(&rt->store, rt->store.vol_fd, name, e);
}

/* The file of a volume is on disk at once, its empty tree when the file system comes to it, or somebody in a container syncs: a machine that
 * died before that has lost nothing which it had promised to keep. */
static int settle_object(struct rt *rt, const struct rt_obj *o, struct qt_err *e)
{
	if (!qt_starts(o->id.s, "vol_") || faccessat(rt->store.vol_fd, o->id.s, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	qt_log(QT_LOG_WARN, "volume %s: the machine died before anything in it was synced; it is empty", o->id.s);
	return rt_store_make_volume(&rt->store, &o->id, o->max_bytes, e);
}

static int sweep_objects(struct rt *rt, struct qt_err *e)
{
	for (uint32_t i = 0; i < rt->objs.n; i++)
		if (settle_object(rt, rt->objs.v[i], e) < 0)
			return -1;
	if (rt_dir_each(rt->store.snap_fd, snapshot_found, rt, e) < 0 || rt_dir_each(rt->store.img_fd, image_found, rt, e) < 0)
		return -1;
	rt_layers_sweep(rt);
	return rt_dir_each(rt->store.vol_fd, volume_found, rt, e);
}

int rt_sweep(struct rt *rt, struct qt_err *e)
{
	int links;

	if (rt_journal_load(&rt->journal, load_one, rt, e) < 0 || rt_objs_load(&rt->objs, e) < 0)
		return -1;
	/* From the end: settling one may take it out. */
	for (uint32_t i = rt->ctrs.n; i > 0; i--)
		if (settle(rt->ctrs.v[i - 1], e) < 0)
			return -1;
	rt_cgroup_each(rt->cgroups, cgroup_found, rt);
	links = rt_net_sweep(rt->net, link_known, rt, e);
	if (links < 0)
		return -1;
	if (links > 0)
		qt_log(QT_LOG_WARN, "%d links belonged to no container, and are gone", links);
	if (rt_dir_each(rt->sock_fd, socket_found, rt, e) < 0 || rt_dir_each(rt->ctr_state_fd, files_found, rt, e) < 0 ||
	    rt_dir_each(rt->store.ctr_fd, tree_found, rt, e) < 0 || rt_dir_each(rt->store.new_fd, copy_found, rt, e) < 0 ||
	    sweep_objects(rt, e) < 0)
		return -1;
	rt_store_empty_trash(&rt->store);
	return 0;
}

int rt_shutdown(struct rt *rt, struct qt_err *e)
{
	int r = 0;

	if (rt_sweep(rt, e) < 0)
		return -1;
	for (uint32_t i = 0; i < rt->ctrs.n; i++) {
		struct rt_ctr *c = rt->ctrs.v[i];

		if (c->state != RT_ST_RUNNING)
			continue;
		c->killed = true;
		undo_run(c);
		rt_life_read_end(c, true);
		c->state = RT_ST_EXITED;
		c->pid = 0;
		c->start_time = 0;
		if (rt_ctr_save(c, true, e) < 0)
			r = -1;
	}
	/* The links whose namespaces the kernel has not come to yet. */
	if (rt_net_sweep(rt->net, link_known, rt, e) < 0 || rt_net_remove(rt->net, e) < 0)
		r = -1;
	(void)unlinkat(rt->run_fd, "c", AT_REMOVEDIR);
	(void)unlinkat(rt->run_fd, "runtime.sock", 0);
	return r;
}
