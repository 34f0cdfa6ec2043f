/* Pulled images and their layers. Which privileges each request uses, and what it would be worth to a hostile agent, stands in its row in ops.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "blobs.h"
#include "cleanup.h"
#include "clock.h"
#include "copy.h"
#include "dirs.h"
#include "failpoint.h"
#include "fdio.h"
#include "layers.h"
#include "log.h"
#include "ops.h"
#include "peer.h"
#include "proc.h"
#include "sessions.h"
#include "str.h"

#define MAKING_MS   (2 * 3600 * 1000) /* longer than a pull may take */
#define COMMIT_MS   300000
#define OPAQUE_MAX  (16U << 20)

/* --- images -------------------------------------------------------------------------------------------- */

static int check_layers(const struct rt_strv *layers, struct qt_err *e)
{
	const char *p = NULL;

	if (layers->n == 0 || layers->n > RT_LAYERS_MAX)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image has %u layers; this server takes 1 to %d", layers->n, RT_LAYERS_MAX);
	while ((p = rt_strv_next(layers, p)))
		if (!rt_image_hex_ok(p))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "image_begin: a layer's digest is not one");
	return 0;
}

/* None, or two; what is a layer as well would be unpacked and kept. */
static int check_blobs(const struct rt_image_begin_req *req, struct qt_err *e)
{
	const char *p = NULL;

	if (req->docker > 1 || (req->blobs.n != 0 && req->blobs.n != 2))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "image_begin: an image has two documents");
	while ((p = rt_strv_next(&req->blobs, p))) {
		if (!rt_image_hex_ok(p))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "image_begin: a document's digest is not one");
		if (rt_strv_has(&req->layers, p))
			return qt_fail(e, QT_E_IMAGE_REFUSED, "the image has a layer that is one of its documents");
	}
	return 0;
}

/* Nothing of it is left but what other images name, too. */
static int give_up(struct rt *rt, struct rt_obj *o, struct qt_err *e)
{
	rt_sessions_end(rt->sessions, &o->id);
	if (rt_store_drop(&rt->store, rt->store.img_fd, o->id.s, e) < 0)
		return -1;
	rt_obj_remove(&rt->objs, o);
	rt_layers_sweep(rt);
	return 0;
}

/* Its agent is dead, or has forgotten it. */
static bool is_lost(const struct rt_obj *o)
{
	return qt_start_time(o->maker) != o->maker_start || (uint64_t)qt_now_ms() > o->created_ms + MAKING_MS;
}

void rt_images_sweep(struct rt *rt)
{
	struct qt_err e = {0};

	for (uint32_t i = rt->objs.n; i > 0; i--) {
		struct rt_obj *o = rt->objs.v[i - 1];
		struct rt_copy *copy;

		if (!qt_starts(o->id.s, "img_") || !o->making || !is_lost(o))
			continue;
		copy = rt_copy_of(rt, &o->id);
		if (copy && !copy->ended)
			rt_copy_end(copy); /* it goes the next time */
		else if (!copy && give_up(rt, o, &e) < 0)
			qt_log_err(QT_LOG_WARN, &e, "%s: something of it is left", o->id.s);
	}
}

static struct rt_obj *making(struct rt *rt, const struct qt_id *id, struct qt_err *e)
{
	struct rt_obj *o = rt_obj_find(&rt->objs, id->s);

	if (qt_starts(id->s, "img_") && o && o->making)
		return o;
	return (void)qt_fail(e, QT_E_IMAGE_NOT_FOUND, "no such image is being made"), NULL;
}

int rt_op_image_begin(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_image_begin_req *req = req_;
	struct rt_image_begin_rep *rep = a->rep;
	struct rt_obj *o;
	struct qt_id id;

	(void)c;
	if (!qt_id_parse(&id, "img", req->id.s) || !qt_id_parse(&id, "ten", req->tenant.s))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "image_begin: an id of another kind");
	if (check_layers(&req->layers, e) < 0 || check_blobs(req, e) < 0)
		return -1;
	rt_images_sweep(rt);
	o = rt_obj_find(&rt->objs, req->id.s);
	if (o && !qt_streq(o->tenant.s, req->tenant.s))
		return qt_fail(e, QT_E_CONFLICT, "there is something of this id");
	if (o && !o->making) {
		rep->there = 1;
		return 0;
	}
	if (rt_copy_of(rt, &req->id)) {
		if (!rt_copy_of(rt, &req->id)->ended)
			rt_copy_end(rt_copy_of(rt, &req->id));
		return RT_AGAIN;
	}
	/* Begun by an agent that died, perhaps with other layers. */
	if (o && give_up(rt, o, e) < 0)
		return -1;
	if (rt_store_room(&rt->store, e) < 0)
		return -1;
	o = rt_obj_add(&rt->objs, &req->id, &req->tenant, (struct rt_str){"", 0}, e);
	if (!o)
		return -1;
	o->making = true;
	o->maker = rt_peer_pid(rt, &a->call);
	o->maker_start = qt_start_time(o->maker);
	o->created_ms = (uint64_t)qt_now_ms();
	o->docker = req->docker != 0;
	if (rt_obj_set_layers(o, req->layers, req->blobs, e) == 0 && rt_store_make_image(&rt->store, &o->id, e) == 0)
		return 0;
	(void)give_up(rt, o, &(struct qt_err){0});
	return -1;
}

int rt_op_image_commit(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_image_commit_req *req = req_;
	struct rt_obj *o = rt_obj_find(&rt->objs, req->id.s);
	const char *p = NULL;

	(void)c;
	(void)a;
	if (o && !o->making && qt_starts(o->id.s, "img_"))
		return 0;
	o = making(rt, &req->id, e);
	if (!o)
		return -1;
	while ((p = rt_strv_next(&o->layers, p)))
		if (!rt_layer_there(rt, p))
			return qt_fail(e, QT_E_CONFLICT, "not all layers of the image are there");
	while ((p = rt_strv_next(&o->blobs, p)))
		if (!rt_blob_there(rt, p))
			return qt_fail(e, QT_E_CONFLICT, "not all documents of the image are there");
	rt_sessions_end(rt->sessions, &o->id);
	o->size_bytes = req->size_bytes;
	o->created_ms = (uint64_t)qt_now_ms();
	if (rt_obj_set_record(o, req->record, e) < 0 || rt_failpoint(RT_FP_image_made, e) < 0 || rt_obj_save(&rt->objs, o, e) < 0)
		return -1;
	o->making = false;
	rt_layers_changed(rt);
	return rt_failpoint(RT_FP_image_commit, e);
}

/* --- layers -------------------------------------------------------------------------------------------- */

static bool name_of(char *out, const struct qt_id *image, const char *hex)
{
	return qt_fmt(out, RT_LAYER_NAME, "%s.%s", image->s, hex);
}

static int check(struct rt *rt, const struct qt_id *id, const char *hex, char *name, struct qt_err *e)
{
	const struct rt_obj *o = making(rt, id, e);

	if (!o)
		return -1;
	if (!rt_image_hex_ok(hex) || (!rt_strv_has(&o->layers, hex) && !rt_strv_has(&o->blobs, hex)) || !name_of(name, id, hex))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the image has no such layer");
	return 0;
}

/* A layer or a document. */
static bool is_there(struct rt *rt, const struct qt_id *image, const char *hex, bool *ret_blob)
{
	*ret_blob = rt_strv_has(&rt_obj_find(&rt->objs, image->s)->blobs, hex);
	return *ret_blob ? rt_blob_there(rt, hex) : rt_layer_there(rt, hex);
}

/* OUT has RT_LAYER_HEX + 1 bytes at least. */
static int read_diff_id(struct rt *rt, const char *hex, char *out, struct rt_str *ret, struct qt_err *e)
{
	auto_close int dir = openat(rt->store.layers_fd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return qt_fail_sys(e, errno, "open a layer");
	if (qt_read_file(dir, "diff_id", out, RT_LAYER_HEX + 1, e) < 0)
		return -1;
	*ret = rt_str(out);
	return 0;
}

int rt_op_layer_begin(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_layer_begin_req *req = req_;
	struct rt_layer_begin_rep *rep = a->rep;
	auto_close int dir = -1;
	char name[RT_LAYER_NAME];
	bool blob;

	(void)c;
	rep->diff_id = rt_str("");
	if (rt_check_files_socket(a->in_fds[0], e) < 0 || check(rt, &req->id, req->digest.s, name, e) < 0)
		return -1;
	if (is_there(rt, &req->id, req->digest.s, &blob)) {
		rep->there = 1;
		return blob ? 0 : read_diff_id(rt, req->digest.s, a->scratch, &rep->diff_id, e);
	}
	/* An earlier try, of an agent that died. */
	rt_sessions_end(rt->sessions, &req->id);
	if (rt_store_drop(&rt->store, rt->store.layers_fd, name, e) < 0 || rt_store_room(&rt->store, e) < 0 ||
	    rt_failpoint(RT_FP_layer_begin, e) < 0)
		return -1;
	dir = rt_dir_make(rt->store.layers_fd, name, 0700, e);
	if (dir < 0)
		return -1;
	if (mkdirat(dir, "fs", 0755) < 0 || fchmodat(dir, "fs", 0755, 0) < 0)
		return qt_fail_sys(e, errno, "make a layer");
	return rt_sessions_layer(rt->sessions, &req->id, dir, a->in_fds[0], e);
}

struct rt_layer_job {
	struct rt *rt;
	struct rt_layer_job *next;
	struct rt_job job;
	struct rt_later release;
	struct rt_call call;
	char name[RT_LAYER_NAME], hex[RT_LAYER_HEX + 1];
	bool blob;
	int dir_fd;
};

/* In a job, since a list may be long and a disk slow. What the list says comes from the process that parsed a tenant's archive. */
static int mark(int fs_fd, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	auto_close int fd = (int)syscall(SYS_openat2, fs_fd, *path ? path : ".", &how, sizeof(how));

	return fd >= 0 && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0 ? 0 : -1;
}

static int mark_all(int dir_fd)
{
	auto_close int list = openat(dir_fd, "opaque", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_close int fs = openat(dir_fd, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	char *text;
	int r = 0;

	if (list < 0)
		return errno == ENOENT ? 0 : -1;
	if (fs < 0 || fstat(list, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)OPAQUE_MAX)
		return -1;
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || read(list, text, (size_t)st.st_size) != st.st_size)
		r = -1;
	for (const char *p = text; r == 0 && p < text + st.st_size; p += strlen(p) + 1)
		r = mark(fs, p);
	free(text);
	return r == 0 ? unlinkat(dir_fd, "opaque", 0) : -1;
}

static int work(void *arg)
{
	const struct rt_layer_job *j = arg;

	return mark_all(j->dir_fd) == 0 && syncfs(j->dir_fd) == 0 ? 0 : 1;
}

static void free_job(void *arg)
{
	struct rt_layer_job *j = arg;

	qt_close(j->dir_fd);
	free(j);
}

static void unlink_job(struct rt_layer_job *j)
{
	struct rt_layer_job **at = &j->rt->layer_jobs;

	while (*at && *at != j)
		at = &(*at)->next;
	if (*at)
		*at = j->next;
}

/* Not if its agent died meanwhile, and the next one began the image anew: then another layer, half unpacked perhaps, has its name. */
static bool is_ours(const struct rt_layer_job *j)
{
	struct stat worked_on, named;

	return fstat(j->dir_fd, &worked_on) == 0 && fstatat(j->rt->store.layers_fd, j->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       worked_on.st_dev == named.st_dev && worked_on.st_ino == named.st_ino;
}

static int publish(struct rt_layer_job *j, struct qt_err *e)
{
	int layers = j->rt->store.layers_fd;

	if (rt_failpoint(RT_FP_layer_made, e) < 0)
		return -1;
	if (!is_ours(j))
		return qt_fail(e, QT_E_CONFLICT, "the layer was begun anew");
	/* Another pull was quicker: the same bytes. */
	if (j->blob ? rt_blob_there(j->rt, j->hex) : rt_layer_there(j->rt, j->hex))
		return rt_store_drop(&j->rt->store, layers, j->name, e);
	if (j->blob)
		return rt_blob_publish(j->rt, j->name, j->hex, e) < 0 ? -1 : rt_failpoint(RT_FP_layer_commit, e);
	if (renameat(layers, j->name, layers, j->hex) < 0 || fsync(layers) < 0)
		return qt_fail_sys(e, errno, "keep a layer");
	return rt_failpoint(RT_FP_layer_commit, e);
}

static void done(void *arg, int exit_code)
{
	const struct rt_layer_commit_rep rep = {0};
	struct rt_layer_job *j = arg;
	struct qt_err e = {0};

	if (exit_code != 0)
		(void)qt_fail(&e, QT_E_INTERNAL_ERROR, "a layer could not be made whole (exit code %d)", exit_code);
	if (e.code == QT_OK && publish(j, &e) == 0)
		rt_answer(j->rt, &j->call, &rep);
	else
		rt_refuse(j->rt, &j->call, &e);
	unlink_job(j);
	rt_loop_later(j->rt->loop, &j->release, free_job, j);
}

static int start(struct rt *rt, const char *name, const char *hex, bool blob, const struct rt_answer *a, struct qt_err *e)
{
	struct rt_layer_job *j = calloc(1, sizeof(*j));

	if (!j)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*j = (struct rt_layer_job){.rt = rt, .blob = blob, .call = a->call};
	(void)qt_copy(j->name, sizeof(j->name), name);
	(void)qt_copy(j->hex, sizeof(j->hex), hex);
	j->dir_fd = openat(rt->store.layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->dir_fd < 0)
		(void)qt_fail(e, QT_E_CONFLICT, "the layer was not unpacked");
	else if (rt_job_fork(&j->job, rt->loop, &j->dir_fd, 1, work, j, done, j, e) == 0) {
		j->next = rt->layer_jobs;
		rt->layer_jobs = j;
		return 0;
	}
	free_job(j);
	return -1;
}

static int write_diff_id(struct rt *rt, const char *name, const char *diff_id, struct qt_err *e)
{
	auto_close int dir = openat(rt->store.layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return qt_fail(e, QT_E_CONFLICT, "the layer was not unpacked");
	return qt_replace_file(dir, "diff_id", diff_id, strlen(diff_id), 0600, false, e);
}

int rt_op_layer_commit(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_layer_commit_req *req = req_;
	char name[RT_LAYER_NAME];
	bool blob;

	(void)c;
	if (check(rt, &req->id, req->digest.s, name, e) < 0)
		return -1;
	if (is_there(rt, &req->id, req->digest.s, &blob))
		return 0;
	for (const struct rt_layer_job *j = rt->layer_jobs; j; j = j->next)
		if (qt_streq(j->name, name))
			return RT_AGAIN;
	rt_sessions_end(rt->sessions, &req->id); /* nobody changes it any more */
	if (blob ? req->diff_id.len > 0 : !rt_image_hex_ok(req->diff_id.s) || write_diff_id(rt, name, req->diff_id.s, e) < 0)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "the layer's diff_id is not one");
	if (start(rt, name, req->digest.s, blob, a, e) < 0)
		return -1;
	a->extra_ms = COMMIT_MS;
	return RT_LATER;
}

void rt_layer_jobs_close(struct rt *rt)
{
	while (rt->layer_jobs) {
		struct rt_layer_job *j = rt->layer_jobs;

		rt->layer_jobs = j->next;
		rt_job_cancel(&j->job);
		free_job(j);
	}
}
