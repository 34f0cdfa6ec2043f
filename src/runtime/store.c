#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "dirs.h"
#include "fdio.h"
#include "log.h"
#include "rnd.h"
#include "store_parts.h"
#include "str.h"

#define TRASH_AFTER_MS 50
#define RESERVE	       (UINT64_C(64) << 20) /* what is there may still be changed, and the trash emptied */

/* The first that fits is "auto". */
static const struct rt_store_driver *const drivers[] = {&rt_store_btrfs, &rt_store_reflink, &rt_store_copy};

static int choose_driver(struct rt_store *s, const char *name, struct qt_err *e)
{
	for (size_t i = 0; i < QT_LEN(drivers); i++) {
		if (!qt_streq(name, "auto") && !qt_streq(name, drivers[i]->name))
			continue;
		if (drivers[i]->fits(s->pool_fd)) {
			s->driver = drivers[i];
			return 0;
		}
	}
	return qt_fail(e, QT_E_INTERNAL_ERROR, "storage_driver \"%s\" is not known, or does not fit the pool's file system", name);
}

/* --- opening ------------------------------------------------------------------------------------------- */

static int check_mount(int pool_fd, struct qt_err *e)
{
	const unsigned long want = ST_NOSUID | ST_NODEV | ST_NOEXEC;
	struct statx here, above;
	struct statvfs st;

	if (statx(pool_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &here) < 0 ||
	    statx(pool_fd, "..", 0, STATX_BASIC_STATS | STATX_MNT_ID, &above) < 0 || fstatvfs(pool_fd, &st) < 0)
		return qt_fail_sys(e, errno, "look at the pool");
	if (here.stx_mnt_id == above.stx_mnt_id)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the pool must be a mount of its own");
	if ((st.f_flag & want) != want)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the pool must be mounted with nosuid,nodev,noexec");
	return 0;
}

static int refuse(const char *name, void *arg, struct qt_err *e)
{
	(void)name;
	(void)arg;
	return qt_fail(e, QT_E_INTERNAL_ERROR, "the pool holds containers of another state directory");
}

/* The sweep at start deletes trees that no entry of the journal knows. With the wrong journal that would be every one. */
static int check_owner(struct rt_store *s, int state_fd, struct qt_err *e)
{
	char ours[64] = "", theirs[64] = "";
	struct qt_err why = {0};
	bool have_ours = qt_read_file(state_fd, "pool.id", ours, sizeof(ours), &why) > 0 || why.sys == ENOENT;
	bool have_theirs;

	if (!have_ours)
		return *e = why, -1;
	qt_err_reset(&why);
	have_theirs = qt_read_file(s->pool_fd, "id", theirs, sizeof(theirs), &why) > 0 || why.sys == ENOENT;
	if (!have_theirs)
		return *e = why, -1;
	if (ours[0] && qt_streq(ours, theirs))
		return 0;
	if (rt_dir_each(s->ctr_fd, refuse, NULL, e) < 0 || rt_dir_each(s->vol_fd, refuse, NULL, e) < 0 ||
	    rt_dir_each(s->snap_fd, refuse, NULL, e) < 0 || rt_dir_each(s->img_fd, refuse, NULL, e) < 0)
		return -1; /* layers are those of img, or of managed images, which are there before the first start */
	if (!ours[0]) {
		struct qt_id id = qt_id_new("pool");

		(void)qt_copy(ours, sizeof(ours), id.s);
		if (qt_replace_file(state_fd, "pool.id", ours, strlen(ours), 0600, true, e) < 0)
			return -1;
	}
	return qt_replace_file(s->pool_fd, "id", ours, strlen(ours), 0600, true, e);
}

static int open_dirs(struct rt_store *s, struct qt_err *e)
{
	const struct {
		const char *name;
		int *fd;
	} dirs[] = {{"images", &s->images_fd}, {"ctr", &s->ctr_fd}, {"vol", &s->vol_fd}, {"snap", &s->snap_fd},
		    {"img", &s->img_fd}, {"layers", &s->layers_fd},
		    {"oci", &s->oci_fd}, {"oci/blobs", NULL}, {"oci/blobs/sha256", &s->blobs_fd}, {"new", &s->new_fd}, {"trash", &s->trash_fd}};

	for (size_t i = 0; i < QT_LEN(dirs); i++) {
		int fd = rt_dir_make(s->pool_fd, dirs[i].name, 0700, e);

		if (fd < 0)
			return -1;
		if (dirs[i].fd)
			*dirs[i].fd = fd;
		else
			qt_close(fd);
	}
	return 0;
}

int rt_store_open(struct rt_store *s, struct rt_loop *loop, const struct qt_conf *conf, int state_fd, struct qt_err *e)
{
	*s = (struct rt_store){.loop = loop, .pool_fd = -1, .images_fd = -1, .ctr_fd = -1, .vol_fd = -1, .snap_fd = -1, .img_fd = -1, .layers_fd = -1,
			       .oci_fd = -1, .blobs_fd = -1, .new_fd = -1, .trash_fd = -1, .ctr_limit = {conf->container_disk_bytes, conf->container_files},
			       .vol_limit = {conf->volume_bytes, conf->volume_files}};
	s->pool_fd = rt_dir_make_path(conf->pool_dir, 0700, e);
	if (s->pool_fd < 0)
		return -1;
	if (check_mount(s->pool_fd, e) < 0 || choose_driver(s, conf->storage_driver, e) < 0 || open_dirs(s, e) < 0 ||
	    check_owner(s, state_fd, e) < 0)
		return -1;
	s->limits = s->driver->limits(s->pool_fd);
	if (!s->limits && (s->ctr_limit.bytes || s->vol_limit.bytes))
		qt_log(QT_LOG_WARN, "the sizes of layers and volumes have no limit: this file system, this kernel, or the way that it is mounted has none");
	return 0;
}

void rt_store_close(struct rt_store *s)
{
	rt_timer_clear(s->loop, &s->soon);
	rt_job_cancel(&s->emptier);
	qt_reset_fd(&s->pool_fd, -1);
	qt_reset_fd(&s->images_fd, -1);
	qt_reset_fd(&s->ctr_fd, -1);
	qt_reset_fd(&s->vol_fd, -1);
	qt_reset_fd(&s->snap_fd, -1);
	qt_reset_fd(&s->img_fd, -1);
	qt_reset_fd(&s->layers_fd, -1);
	qt_reset_fd(&s->oci_fd, -1);
	qt_reset_fd(&s->blobs_fd, -1);
	qt_reset_fd(&s->new_fd, -1);
	qt_reset_fd(&s->trash_fd, -1);
}

bool rt_store_taking_name(char *to, size_t size, const char *id, unsigned i)
{
	return qt_fmt(to, size, "%s.%u", id, i);
}

const char *rt_store_driver_name(const struct rt_store *s)
{
	return s->driver->name;
}

/* --- trees --------------------------------------------------------------------------------------------- */

int rt_store_room(const struct rt_store *s, struct qt_err *e)
{
	uint64_t total, left;

	rt_store_space(s, &total, &left);
	return left < RESERVE ? qt_fail(e, QT_E_INSUFFICIENT_STORAGE, "the node's storage is full") : 0;
}

static bool is_limited(const struct rt_store *s, const struct rt_limit *l)
{
	return s->limits && (l->bytes || l->files);
}

int rt_store_number(struct rt_store *s, const struct rt_limit *l, uint32_t *ret, struct qt_err *e)
{
	*ret = 0;
	if (!is_limited(s, l) || !s->driver->next)
		return 0;
	if (s->driver->next(s->pool_fd, &s->last_number, e) < 0)
		return -1;
	*ret = s->last_number;
	return 0;
}

int rt_store_limit(struct rt_store *s, int dir_fd, const char *name, const struct rt_limit *l, struct qt_err *e)
{
	auto_close int fd = -1;

	if (!is_limited(s, l))
		return 0;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? qt_fail_sys(e, errno, "open a tree") : s->driver->limit(fd, l, e);
}

/* DIR_FD/NAME with an empty root directory in it; a descriptor of NAME. */
static int make(struct rt_store *s, int dir_fd, const char *name, const char *root, const struct rt_limit *l, int *ret_fd, struct qt_err *e)
{
	auto_close int fd = -1;
	uint32_t number;

	if (rt_store_number(s, l, &number, e) < 0 || s->driver->make(dir_fd, name, e) < 0)
		return -1;
	fd = rt_dir_make(dir_fd, name, 0700, e);
	if (fd < 0)
		return -1;
	if ((number && s->driver->number(fd, number, e) < 0) || (is_limited(s, l) && s->driver->limit(fd, l, e) < 0))
		return -1;
	if (mkdirat(fd, root, 0755) < 0 || fchmodat(fd, root, 0755, 0) < 0)
		return qt_fail_sys(e, errno, "make a tree");
	*ret_fd = qt_take_fd(&fd);
	return 0;
}

int rt_store_make(struct rt_store *s, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = -1;

	if (make(s, s->ctr_fd, id->s, "upper", &s->ctr_limit, &fd, e) < 0)
		return -1;
	return mkdirat(fd, "work", 0700) < 0 ? qt_fail_sys(e, errno, "make the container's layer") : 0;
}

struct rt_limit rt_store_volume_limit(const struct rt_store *s, uint64_t max_bytes)
{
	return (struct rt_limit){max_bytes ? max_bytes : s->vol_limit.bytes, s->vol_limit.files};
}

int rt_store_make_volume(struct rt_store *s, const struct qt_id *id, uint64_t max_bytes, struct qt_err *e)
{
	const struct rt_limit l = rt_store_volume_limit(s, max_bytes);
	auto_close int fd = -1;

	return make(s, s->vol_fd, id->s, "data", &l, &fd, e);
}

int rt_store_make_image(struct rt_store *s, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = -1;

	return make(s, s->img_fd, id->s, "data", &(struct rt_limit){0, 0}, &fd, e);
}

int rt_store_tree(struct rt_store *s, const struct qt_id *id, int *ret_upper, int *ret_work, struct qt_err *e)
{
	auto_close int fd = openat(s->ctr_fd, id->s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_close int upper = -1, work = -1;

	if (fd < 0)
		return qt_fail_sys(e, errno, "open the container's layer");
	upper = openat(fd, "upper", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	work = openat(fd, "work", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0 || work < 0)
		return qt_fail_sys(e, errno, "open the container's layer");
	*ret_upper = qt_take_fd(&upper);
	*ret_work = qt_take_fd(&work);
	return 0;
}

int rt_store_volume(struct rt_store *s, const struct qt_id *id, struct qt_err *e)
{
	auto_close int fd = openat(qt_starts(id->s, "img_") ? s->img_fd : s->vol_fd, id->s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int data = fd < 0 ? -1 : openat(fd, "data", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return data >= 0 ? data : qt_fail_sys(e, errno, "open a volume");
}

static void empty_soon(void *arg)
{
	rt_store_empty_trash(arg);
}

int rt_store_drop(struct rt_store *s, int dir_fd, const char *name, struct qt_err *e)
{
	unsigned char r[8];
	char hex[17], to[96];

	qt_rnd(r, sizeof(r));
	qt_hex(hex, r, sizeof(r));
	if (!qt_fmt(to, sizeof(to), "%.64s.%s", name, hex))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a name too long");
	if (renameat(dir_fd, name, s->trash_fd, to) < 0)
		return errno == ENOENT ? 0 : qt_fail_sys(e, errno, "move a tree to the trash");
	/* Not at once: a burst of deletes is one job, and none of them waits for the fork. One that goes on does not put it off for ever. */
	if (s->soon.place == 0 && rt_timer_set(s->loop, &s->soon, TRASH_AFTER_MS, empty_soon, s, e) < 0)
		return -1;
	return 0;
}

static void emptied(void *arg, int exit_code)
{
	struct rt_store *s = arg;

	if (exit_code != 0)
		qt_log(QT_LOG_WARN, "the trash could not be emptied (exit code %d)", exit_code);
	if (s->again)
		rt_store_empty_trash(s);
}

static int empty_fd(int fd)
{
	return rt_dir_empty(fd) < 0 ? 1 : 0;
}

void rt_store_empty_trash(struct rt_store *s)
{
	struct qt_err e = {0};

	s->again = s->emptier.pid != 0;
	if (!s->again && rt_job_start(&s->emptier, s->loop, s->trash_fd, empty_fd, emptied, s, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "the trash is not emptied now");
}

/* --- space ---------------------------------------------------------------------------------------------- */

void rt_store_space(const struct rt_store *s, uint64_t *total, uint64_t *free_)
{
	struct statvfs st;

	*total = *free_ = 0;
	if (fstatvfs(s->pool_fd, &st) < 0)
		return;
	*total = (uint64_t)st.f_blocks * st.f_frsize;
	*free_ = (uint64_t)st.f_bavail * st.f_frsize;
}
