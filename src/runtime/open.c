#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "copy.h"
#include "layers.h"
#include "dirs.h"
#include "fdio.h"
#include "rootpath.h"
#include "runtime.h"
#include "str.h"

#define LOCK_MS 3000
#define NODE_MEMORY_FACTOR 8 /* limits are seldom used up */

/* A runtime that was killed may have left a child that is about to die of it, or to close what it inherited: the lock too. */
static int lock(int fd)
{
	int64_t deadline = qt_mono_ms() + LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || qt_mono_ms() > deadline)
			return -1;
		(void)poll(NULL, 0, 10);
	}
	return 0;
}

static int open_dirs(struct rt *rt, struct qt_err *e)
{
	rt->state_fd = rt_dir_make_path(rt->conf.state_dir, 0, e);
	if (rt->state_fd < 0)
		return -1;
	rt->lock_fd = openat(rt->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (rt->lock_fd < 0)
		return qt_fail_sys(e, errno, "open the lock");
	if (lock(rt->lock_fd) < 0)
		return qt_fail(e, QT_E_CONFLICT, "another runtime works with %s", rt->conf.state_dir);
	rt->run_fd = rt_dir_make_path(rt->conf.run_dir, 0, e);
	if (rt->run_fd < 0)
		return -1;
	rt->ctr_state_fd = rt_dir_make(rt->state_fd, "ctr", 0700, e);
	if (rt->ctr_state_fd < 0)
		return -1;
	rt->sock_fd = rt_dir_make(rt->run_fd, "c", 0700, e);
	return rt->sock_fd < 0 ? -1 : 0;
}

static int look_at_machine(struct rt *rt, struct qt_err *e)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE), cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t mb;

	if (pages <= 0 || page <= 0 || cpus <= 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the size of the machine cannot be read");
	rt->memory_bytes = (uint64_t)pages * (uint64_t)page;
	rt->cpus = (uint32_t)cpus;
	mb = rt->memory_bytes >> 20;
	rt->memory_max_mb = (uint32_t)(rt->conf.memory_limit_max_mb ? rt->conf.memory_limit_max_mb : mb);
	rt->node_memory_mb = rt->conf.node_memory_mb ? rt->conf.node_memory_mb : mb * NODE_MEMORY_FACTOR;
	if (qt_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", rt->boot_id, sizeof(rt->boot_id), e) < 0)
		return qt_context(e, "boot_id");
	rt->boot_id[strcspn(rt->boot_id, "\n")] = '\0';
	return 0;
}

int rt_open(struct rt *rt, const char *conf_path, struct qt_err *e)
{
	memset(rt, 0, sizeof(*rt));
	rt->state_fd = rt->run_fd = rt->ctr_state_fd = rt->sock_fd = rt->lock_fd = rt->dns_fd[0] = rt->dns_fd[1] = -1;
	rt->journal.dir_fd = rt->journal.bad_fd = rt->objs.keep.dir_fd = rt->objs.keep.bad_fd = -1;
	rt->store = (struct rt_store){.pool_fd = -1, .images_fd = -1, .ctr_fd = -1, .vol_fd = -1, .snap_fd = -1,
				      .img_fd = -1, .layers_fd = -1, .oci_fd = -1, .blobs_fd = -1, .trash_fd = -1};
	rt->started_ms = qt_now_ms();

	if (!qt_have_openat2())
		return qt_fail(e, QT_E_INTERNAL_ERROR, "this kernel has no openat2(2)");
	if (qt_conf_load(&rt->conf, conf_path, e) < 0 || look_at_machine(rt, e) < 0 || open_dirs(rt, e) < 0)
		return -1;
	if (rt_loop_open(&rt->loop, e) < 0 || rt_journal_open(&rt->journal, rt->state_fd, e) < 0 ||
	    rt_objs_open(&rt->objs, rt->state_fd, e) < 0)
		return -1;
	if (rt_ranges_init(&rt->ranges, (uint32_t)rt->conf.uid_ranges, e) < 0)
		return -1;
	if (rt->conf.uid_base + rt->conf.uid_ranges * 65536 > UINT32_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "uid_base and uid_ranges go past the last user id");
	if (rt_store_open(&rt->store, rt->loop, &rt->conf, rt->state_fd, e) < 0)
		return qt_context(e, "%s", rt->conf.pool_dir);
	if (rt_cgroups_open(&rt->cgroups, rt->conf.instance, e) < 0 || rt_net_open(&rt->net, &rt->conf, e) < 0)
		return -1;
	if (rt_cdi_open(&rt->cdi, rt->conf.cdi_dirs, rt->conf.gpu_kinds, e) < 0)
		return -1;
	rt_cdi_look(rt->cdi);
	if (rt_net_resolv_conf(&rt->conf, rt->resolv_conf, sizeof(rt->resolv_conf)) < 0)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "nameservers takes IPv4 addresses, or auto; dns_domain a domain");
	return 0;
}

void rt_close(struct rt *rt)
{
	rt_copies_close(rt);
	rt_layer_jobs_close(rt);
	if (rt->loop)
		rt_timer_clear(rt->loop, &rt->layers_again);
	rt_spares_close(rt);
	while (rt->ctrs.n > 0)
		rt_ctr_free(rt->ctrs.v[--rt->ctrs.n]);
	while (rt->leaving.n > 0)
		rt_ctr_free(rt->leaving.v[--rt->leaving.n]);
	free(rt->ctrs.v);
	free(rt->leaving.v);
	if (rt->loop)
		rt_store_close(&rt->store);
	if (rt->spawner)
		rt_spawner_close(rt->spawner);
	rt_cdi_close(rt->cdi);
	if (rt->net)
		rt_net_close(rt->net);
	if (rt->cgroups)
		rt_cgroups_close(rt->cgroups);
	rt_ranges_done(&rt->ranges);
	rt_objs_close(&rt->objs);
	rt_keep_close(&rt->journal);
	rt_loop_close(rt->loop);
	qt_close(rt->dns_fd[0]);
	qt_close(rt->dns_fd[1]);
	qt_close(rt->sock_fd);
	qt_close(rt->ctr_state_fd);
	qt_close(rt->run_fd);
	qt_close(rt->state_fd);
	qt_close(rt->lock_fd);
}
