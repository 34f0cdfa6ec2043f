#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "obj.h"
#include "str.h"

static const struct rt_field rows[] = {
#define R(type, name, max) {#name, RT_F_##type, offsetof(struct rt_obj_entry, name), max}
	R(ID, id, 0),	      R(ID, tenant, 0),	 R(U64, created_ms, 0),	   R(U64, max_bytes, 0),
	R(U64, size_bytes, 0), R(U64, files, 0), R(BLOB, record, 16384),
	R(STR, image, 128),    R(STRV, layers, 8320), R(STRV, blobs, 130), R(U32, docker, 0),
#undef R
};
static const uint8_t n_rows[] = {7, 9, 11};
_Static_assert(sizeof(struct rt_obj_entry) <= RT_KEEP_STRUCT_MAX, "an entry is read into so much");

static bool sane(const void *en_, const char *name)
{
	const struct rt_obj_entry *en = en_;
	struct qt_id id;

	return (qt_id_parse(&id, "snap", name) || qt_id_parse(&id, "vol", name) || qt_id_parse(&id, "img", name)) && qt_streq(id.s, en->id.s);
}

static const struct rt_keep_kind kind = {
	.dir = "objects",
	.bad = "objects.bad",
	.lost = "its snapshot, volume or image is lost, its tree is kept",
	.magic = 0x314f5451U, /* "QTO1" */
	.version = QT_LEN(n_rows),
	.rows = rows,
	.n_rows = n_rows,
	.size = sizeof(struct rt_obj_entry),
	.sane = sane,
};

int rt_objs_open(struct rt_objs *t, int state_fd, struct qt_err *e)
{
	return rt_keep_open(&t->keep, &kind, state_fd, e);
}

static void free_obj(struct rt_obj *o)
{
	free(o->record);
	free((char *)(uintptr_t)o->layers.s);
	free((char *)(uintptr_t)o->blobs.s);
	free(o);
}

void rt_objs_close(struct rt_objs *t)
{
	while (t->n > 0)
		free_obj(t->v[--t->n]);
	free(qt_take(&t->v));
	t->cap = 0;
	rt_keep_close(&t->keep);
}

uint32_t rt_obj_after(const struct rt_objs *t, const char *after)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (strcmp(t->v[mid]->id.s, after) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct rt_obj *rt_obj_find(const struct rt_objs *t, const char *id)
{
	uint32_t i = rt_obj_after(t, id);

	return i > 0 && qt_streq(t->v[i - 1]->id.s, id) ? t->v[i - 1] : NULL;
}

int rt_obj_set_record(struct rt_obj *o, struct rt_str record, struct qt_err *e)
{
	char *copy = malloc(record.len + 1);

	if (!copy)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(copy, record.s, record.len);
	copy[record.len] = '\0';
	free(o->record);
	o->record = copy;
	o->record_len = record.len;
	return 0;
}

static int set_list(struct rt_strv *to, struct rt_strv list, struct qt_err *e)
{
	char *copy = malloc(list.len + 1);

	if (!copy)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	if (list.len > 0)
		memcpy(copy, list.s, list.len);
	copy[list.len] = '\0';
	free((char *)(uintptr_t)to->s);
	*to = (struct rt_strv){copy, list.len, list.n};
	return 0;
}

int rt_obj_set_layers(struct rt_obj *o, struct rt_strv layers, struct rt_strv blobs, struct qt_err *e)
{
	return set_list(&o->layers, layers, e) < 0 ? -1 : set_list(&o->blobs, blobs, e);
}

static int insert(struct rt_objs *t, struct rt_obj *o, struct qt_err *e)
{
	uint32_t i = rt_obj_after(t, o->id.s);

	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 64;
		struct rt_obj **v = realloc(t->v, cap * sizeof(struct rt_obj *));

		if (!v)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		t->v = v;
		t->cap = cap;
	}
	memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof(struct rt_obj *));
	t->v[i] = o;
	t->n++;
	return 0;
}

struct rt_obj *rt_obj_add(struct rt_objs *t, const struct qt_id *id, const struct qt_id *tenant, struct rt_str record, struct qt_err *e)
{
	struct rt_obj *o = calloc(1, sizeof(*o));

	if (!o)
		return (void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory"), NULL;
	o->id = *id;
	o->tenant = *tenant;
	if (rt_obj_set_record(o, record, e) < 0 || insert(t, o, e) < 0) {
		free_obj(o);
		return NULL;
	}
	return o;
}

void rt_obj_remove(struct rt_objs *t, struct rt_obj *o)
{
	uint32_t i = rt_obj_after(t, o->id.s);

	if (i > 0 && t->v[i - 1] == o) {
		memmove(&t->v[i - 1], &t->v[i], (t->n - i) * sizeof(struct rt_obj *));
		t->n--;
	}
	free_obj(o);
}

int rt_obj_save(struct rt_objs *t, const struct rt_obj *o, struct qt_err *e)
{
	const struct rt_obj_entry en = {
		.id = o->id,
		.tenant = o->tenant,
		.created_ms = o->created_ms,
		.max_bytes = o->max_bytes,
		.size_bytes = o->size_bytes,
		.files = o->files,
		.record = {o->record, o->record_len},
		.image = rt_str(o->image),
		.layers = o->layers,
		.blobs = o->blobs,
		.docker = o->docker,
	};

	return rt_keep_put(&t->keep, o->id.s, &en, true, e);
}

int rt_obj_forget(struct rt_objs *t, const struct rt_obj *o, struct qt_err *e)
{
	return rt_keep_drop(&t->keep, o->id.s, e);
}

static int load_one(const void *en_, void *arg, struct qt_err *e)
{
	const struct rt_obj_entry *en = en_;
	struct rt_obj *o = rt_obj_add(arg, &en->id, &en->tenant, en->record, e);

	if (!o)
		return -1;
	o->created_ms = en->created_ms;
	o->max_bytes = en->max_bytes;
	o->size_bytes = en->size_bytes;
	o->files = en->files;
	o->docker = en->docker != 0;
	/* Lists that a file of an older version lacks are empty. */
	if (en->image.len > 0)
		(void)qt_copy(o->image, sizeof(o->image), en->image.s);
	return en->layers.len > 0 ? rt_obj_set_layers(o, en->layers, en->blobs, e) : 0;
}

int rt_objs_load(struct rt_objs *t, struct qt_err *e)
{
	return rt_keep_load(&t->keep, load_one, t, e);
}
