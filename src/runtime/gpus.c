#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "gpus.h"
#include "log.h"
#include "ops.h"
#include "soname.h"
#include "str.h"

#define FILES_MAX 1024 /* of one container; links and variables as many */
#define LIST_BYTES 20480 /* ops.def */

/* --- whose ---------------------------------------------------------------------------------------------- */

/* The device that NAME means; NULL if there is none now. */
static const struct rt_cdi_device *real(const struct rt *rt, const char *name)
{
	const struct rt_cdi_device *d = rt_cdi_find(rt->cdi, name);

	return d ? rt_cdi_real(d) : NULL;
}

static bool has(const struct rt *rt, const struct rt_strv *list, const char *name, const struct rt_cdi_device *d)
{
	const char *text = NULL;

	/* By name too: a specification may have gone while a container has the device. */
	while ((text = rt_strv_next(list, text)))
		if (qt_streq(text, name) || (d && real(rt, text) == d))
			return true;
	return false;
}

static const struct rt_ctr *holder(const struct rt *rt, const char *name)
{
	const struct rt_cdi_device *d = real(rt, name);

	for (uint32_t i = 0; i < rt->ctrs.n; i++)
		if (has(rt, &rt->ctrs.v[i]->gpus, name, d))
			return rt->ctrs.v[i];
	return NULL;
}

int rt_gpus_check(struct rt *rt, const struct rt_ctr *c, const struct rt_strv *list, struct qt_err *e)
{
	struct rt_strv before = {list->s, 0, 0};
	const char *text = NULL;

	if (list->n > 0)
		rt_cdi_look(rt->cdi);
	while ((text = rt_strv_next(list, text))) {
		const struct rt_cdi_device *d = real(rt, text);
		const struct rt_ctr *other = holder(rt, text);

		if (!rt_cdi_name_ok(text))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/gpu_ids", "", "a GPU's name is not of the form vendor.com/class=name");
		if (!d)
			return qt_fail(e, QT_E_CAPACITY_FULL, "this node does not have this GPU");
		if (has(rt, &before, text, d))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/gpu_ids", "", "a GPU is there twice");
		if (other && other != c)
			return qt_fail(e, QT_E_CAPACITY_FULL, "another container has this GPU");
		before.n++;
		before.len = (uint32_t)(text - list->s) + (uint32_t)strlen(text) + 1;
	}
	return 0;
}

int rt_op_gpus(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_gpus_req *req = req_;
	struct rt_gpus_rep *rep = a->rep;
	const struct rt_cdi_device *d;
	const char *after = req->after.s;

	(void)c;
	(void)e;
	rt_cdi_look(rt->cdi);
	rep->gpus.s = a->scratch;
	for (; (d = rt_cdi_after(rt->cdi, after)); after = d->name) {
		const struct rt_ctr *who = holder(rt, d->name);
		struct rt_strv before = rep->gpus;
		char text[RT_CDI_NAME_MAX + 2] = "";

		if (d->same)
			(void)qt_fmt(text, sizeof(text), "=%s", d->same->name);
		else if (who)
			(void)qt_fmt(text, sizeof(text), "%s/%s", who->tenant.s, who->id.s);
		if (!rt_strv_add(&rep->gpus, a->scratch, LIST_BYTES, d->name) || !rt_strv_add(&rep->gpus, a->scratch, LIST_BYTES, text)) {
			rep->gpus = before; /* two texts or none */
			break;
		}
	}
	return 0;
}

/* --- what they need ------------------------------------------------------------------------------------- */

/* The client hears that it is not usable, the log what is missing. */
static int missing(const char *host, int sys, struct qt_err *e)
{
	qt_log(QT_LOG_ERROR, "cdi: %s: %s", host, sys ? strerror(sys) : "not the device that the specification says");
	return qt_fail(e, QT_E_UNAVAILABLE, "A GPU of this container is not usable on this node: a part of its driver is missing");
}

static int too_much(struct qt_err *e)
{
	return qt_fail(e, QT_E_UNAVAILABLE, "GPUs: the specifications ask for too much");
}

static int add_node(struct rt_gpus *g, const struct rt_cdi_node *n, struct qt_err *e)
{
	struct stat st;

	for (unsigned i = 0; i < g->n_nodes; i++)
		if (qt_streq(g->nodes[i].path, n->path))
			return 0;
	if (g->n_nodes == RT_DEVICES_MAX)
		return too_much(e);
	if (fstatat(AT_FDCWD, n->host, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return missing(n->host, errno, e);
	if (!S_ISCHR(st.st_mode) || (n->numbered && st.st_rdev != makedev(n->major, n->minor)))
		return missing(n->host, 0, e);
	g->devices[g->n_nodes] = (struct rt_device){major(st.st_rdev), minor(st.st_rdev), strchr(n->access, 'r') != NULL,
						    strchr(n->access, 'w') != NULL};
	g->nodes[g->n_nodes++] = (struct rt_extra_node){n->host, n->path, major(st.st_rdev), minor(st.st_rdev)};
	return 0;
}

static int add_link(struct rt_gpus *g, const char *path, const char *to, bool keep, struct qt_err *e)
{
	for (unsigned i = 0; i < g->n_links; i++)
		if (qt_streq(g->links[i].path, path))
			return 0;
	if (g->n_links == FILES_MAX)
		return too_much(e);
	g->links[g->n_links++] = (struct rt_extra_link){path, to, keep};
	return 0;
}

/* Programs ask for libcuda.so.1; what is mounted is libcuda.so.535.104.05. The link between the two is what ldconfig(8) makes from the library's
 * DT_SONAME, and what NVIDIA's hook update-ldcache runs it for. The container's ld.so.cache stays as it is: the loader looks into the
 * system's library directories besides it. */
static int add_soname(struct rt_gpus *g, int fd, const char *path, struct qt_err *e)
{
	const char *file = strrchr(path, '/') + 1;
	char name[128], text[RT_CDI_PATH + 128];
	char *at;

	if (!qt_starts(file, "lib") || !strstr(file, ".so.") || !rt_soname(name, sizeof(name), fd) || qt_streq(name, file) ||
	    !qt_fmt(text, sizeof(text), "%.*s%s", (int)(file - path), path, name))
		return 0;
	at = rt_arena_text(&g->arena, text, strlen(text));
	return at ? add_link(g, at, file, true, e) : too_much(e);
}

static int add_file(struct rt_gpus *g, const struct rt_cdi_mount *m, struct qt_err *e)
{
	auto_close int fd = -1;
	struct stat st;

	for (unsigned i = 0; i < g->n_files; i++)
		if (qt_streq(g->files[i].path, m->path))
			return 0;
	if (g->n_files == FILES_MAX)
		return too_much(e);
	if (stat(m->host, &st) < 0)
		return missing(m->host, errno, e);
	/* Sockets of the host's daemons are not for tenants. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		qt_log(QT_LOG_INFO, "cdi: %s is left out: neither a file nor a directory", m->host);
		return 0;
	}
	g->files[g->n_files++] = (struct rt_extra_file){m->host, m->path, m->noexec};
	if (!S_ISREG(st.st_mode))
		return 0;
	fd = open(m->host, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? missing(m->host, errno, e) : add_soname(g, fd, m->path, e);
}

static size_t name_len(const char *env)
{
	return strcspn(env, "=") + 1;
}

static int add_env(struct rt_gpus *g, const char *env, struct qt_err *e)
{
	unsigned i = 0;

	while (i < g->n_env && strncmp(g->env[i], env, name_len(env)) != 0)
		i++;
	if (i == FILES_MAX)
		return too_much(e);
	g->env[i] = env; /* the last one counts */
	g->n_env = i == g->n_env ? i + 1 : g->n_env;
	return 0;
}

static int add(struct rt_gpus *g, const struct rt_cdi_edits *ed, struct qt_err *e)
{
	for (unsigned i = 0; i < ed->n_nodes; i++)
		if (add_node(g, &ed->nodes[i], e) < 0)
			return -1;
	/* Before those of sonames: of two links of one path the first counts. */
	for (unsigned i = 0; i < ed->n_links; i++)
		if (add_link(g, ed->links[i].path, ed->links[i].to, false, e) < 0)
			return -1;
	for (unsigned i = 0; i < ed->n_mounts; i++)
		if (add_file(g, &ed->mounts[i], e) < 0)
			return -1;
	for (unsigned i = 0; i < ed->n_env; i++)
		if (add_env(g, ed->env[i], e) < 0)
			return -1;
	return 0;
}

int rt_gpus_open(struct rt *rt, const struct rt_strv *list, struct rt_gpus *ret, struct qt_err *e)
{
	const char *text = NULL;

	if (list->n == 0)
		return 0;
	ret->nodes = rt_arena_get(&ret->arena, RT_DEVICES_MAX * sizeof(*ret->nodes));
	ret->files = rt_arena_get(&ret->arena, FILES_MAX * sizeof(*ret->files));
	ret->links = rt_arena_get(&ret->arena, FILES_MAX * sizeof(*ret->links));
	ret->env = rt_arena_get(&ret->arena, FILES_MAX * sizeof(*ret->env));
	if (!ret->nodes || !ret->files || !ret->links || !ret->env)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	while ((text = rt_strv_next(list, text))) {
		const struct rt_cdi_device *d = rt_cdi_find(rt->cdi, text);

		if (!d)
			return qt_fail(e, QT_E_UNAVAILABLE, "A GPU of this container is not on this node any more");
		if (add(ret, &d->spec->common, e) < 0 || add(ret, &d->own, e) < 0)
			return -1;
	}
	return 0;
}

void rt_gpus_close(struct rt_gpus *g)
{
	rt_arena_done(&g->arena);
}

static bool sets(const struct rt_strv *env, const char *text)
{
	const char *have = NULL;

	while ((have = rt_strv_next(env, have)))
		if (strncmp(have, text, name_len(text)) == 0)
			return true;
	return false;
}

int rt_gpus_env(const struct rt_gpus *g, const struct rt_strv *env, struct rt_strv *ret, char *buf, size_t size, struct qt_err *e)
{
	if (env->len > size)
		return too_much(e);
	*ret = (struct rt_strv){buf, env->len, env->n};
	if (env->len > 0)
		memcpy(buf, env->s, env->len);
	for (unsigned i = 0; i < g->n_env; i++)
		if (!sets(env, g->env[i]) && !rt_strv_add(ret, buf, size, g->env[i]))
			return too_much(e);
	return 0;
}
