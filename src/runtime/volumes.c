#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "volumes.h"

struct volume {
	struct qt_id id;
	const char *target; /* not ended by NUL */
	size_t target_len;
	bool read_only;
};

static bool parse(struct volume *ret, const char *text)
{
	const char *colon = strchr(text, ':'), *end;
	char id[QT_ID_MAX + 1] = "";

	if (!colon || (size_t)(colon - text) >= sizeof(id))
		return false;
	memcpy(id, text, (size_t)(colon - text));
	ret->target = colon + 1;
	end = strchr(ret->target, ':');
	ret->read_only = end != NULL;
	ret->target_len = end ? (size_t)(end - ret->target) : strlen(ret->target);
	return qt_id_parse(&ret->id, "vol", id) && (!end || qt_streq(end, ":ro"));
}

static bool target_ok(const struct volume *v)
{
	char target[4096];

	if (v->target_len >= sizeof(target))
		return false;
	memcpy(target, v->target, v->target_len);
	target[v->target_len] = '\0';
	for (size_t i = 0; i < v->target_len; i++)
		if ((unsigned char)target[i] < 0x20 || target[i] == 0x7f)
			return false;
	return rt_target_ok(target);
}

static bool same_target(const struct volume *a, const struct volume *b)
{
	return a->target_len == b->target_len && memcmp(a->target, b->target, a->target_len) == 0;
}

static int bad(struct qt_err *e, const char *what)
{
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/volumes", "", "%s", what);
}

int rt_volumes_check(const struct rt *rt, const struct qt_id *tenant, const struct rt_strv *list, struct qt_err *e)
{
	struct volume all[RT_VOLUMES_MAX];
	const char *text = NULL;
	unsigned n = 0;

	if (list->n > RT_VOLUMES_MAX)
		return bad(e, "there are too many volumes");
	while ((text = rt_strv_next(list, text))) {
		const struct rt_obj *o;

		if (!parse(&all[n], text) || !target_ok(&all[n]))
			return bad(e, "a volume is not of the form id:/target or id:/target:ro, or may not be there");
		for (unsigned i = 0; i < n; i++)
			if (same_target(&all[i], &all[n]))
				return bad(e, "two volumes have the same target");
		o = rt_obj_find(&rt->objs, all[n++].id.s);
		if (!o || o->making || !qt_streq(o->tenant.s, tenant->s))
			return qt_fail(e, QT_E_VOLUME_NOT_FOUND, "there is no such volume");
	}
	return 0;
}

int rt_volumes_open(struct rt *rt, const struct rt_strv *list, struct rt_volumes *ret, struct qt_err *e)
{
	const char *text = NULL;
	size_t used = 0;

	ret->n = 0;
	while ((text = rt_strv_next(list, text))) {
		struct rt_mount *m = &ret->mounts[ret->n];
		struct volume v;

		if (ret->n == RT_VOLUMES_MAX || !parse(&v, text) || used + v.target_len + 1 > sizeof(ret->targets))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the list of volumes is not the one that was checked");
		m->target = memcpy(ret->targets + used, v.target, v.target_len);
		used += v.target_len;
		ret->targets[used++] = '\0';
		m->read_only = v.read_only;
		m->tree_fd = rt_store_volume(&rt->store, &v.id, e);
		if (m->tree_fd < 0)
			return -1;
		ret->n++;
	}
	return 0;
}

void rt_volumes_close(struct rt_volumes *v)
{
	while (v->n > 0)
		qt_close(v->mounts[--v->n].tree_fd);
}

bool rt_volumes_has(const struct rt_ctr *c, const struct qt_id *id)
{
	const char *text = NULL;
	struct volume v;

	while ((text = rt_strv_next(&c->volumes, text)))
		if (parse(&v, text) && qt_streq(v.id.s, id->s))
			return true;
	return false;
}

bool rt_volumes_in_use(const struct rt *rt, const struct qt_id *id)
{
	for (uint32_t i = 0; i < rt->ctrs.n; i++) {
		const struct rt_ctr *c = rt->ctrs.v[i];

		if ((c->state == RT_ST_RUNNING || c->phase != RT_PH_WHOLE) && rt_volumes_has(c, id))
			return true;
	}
	return false;
}
