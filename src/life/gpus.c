/* GPUs by two names: ids, which clients, records and Redis have, and the names of CDI devices, which the runtime has. "nvidia0" is the device "0" of the first kind
 * of gpu_kinds, whoever its vendor is; any other device's id is its CDI name. */
#include <string.h>

#include "cleanup.h"
#include "inner.h"
#include "str.h"

#define SHORT "nvidia"
#define DIGITS_MAX 3
#define GPUS_BUDGET_MS 1000

static bool is_index(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= DIGITS_MAX && strspn(text, "0123456789") == n && (n == 1 || text[0] != '0');
}

static bool is_word(const char *text, size_t len)
{
	static const char marks[] = "_-.:";

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool mark = strchr(marks, c) != NULL;

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && (!mark || i == 0 || i == len - 1))
			return false;
	}
	return len > 0;
}

/* The first of KINDS into RET. */
static bool first_kind(char *ret, size_t size, const char *kinds)
{
	size_t skip = strspn(kinds, ", ");

	return qt_fmt(ret, size, "%.*s", (int)strcspn(kinds + skip, ", "), kinds + skip) && ret[0];
}

static bool is_kind(const char *kinds, const char *kind, size_t len)
{
	for (const char *p = kinds + strspn(kinds, ", "); *p; p += strspn(p, ", ")) {
		size_t n = strcspn(p, ", ");

		if (n == len && strncmp(p, kind, n) == 0)
			return true;
		p += n;
	}
	return false;
}

bool qt_gpu_cdi(char ret[QT_GPU_ID_MAX + 1], const struct qt_conf *conf, const char *text)
{
	const char *is = strchr(text, '='), *name = is ? is + 1 : text;
	char kind[QT_GPU_ID_MAX + 1];

	if (strlen(text) > QT_GPU_ID_MAX || !first_kind(kind, sizeof(kind), conf->gpu_kinds))
		return false;
	if (!is && qt_starts(text, SHORT) && is_index(text + strlen(SHORT)))
		name = text + strlen(SHORT);
	/* "all" is a device to CDI, and several to us. */
	if (!is_word(name, strlen(name)) || qt_streq(name, "all") || (is && !is_kind(conf->gpu_kinds, text, (size_t)(is - text))))
		return false;
	return is ? qt_copy(ret, QT_GPU_ID_MAX + 1, text) : qt_fmt(ret, QT_GPU_ID_MAX + 1, "%s=%s", kind, name);
}

void qt_gpu_id(char ret[QT_GPU_ID_MAX + 1], const struct qt_conf *conf, const char *cdi)
{
	char kind[QT_GPU_ID_MAX + 1];
	const char *is = strchr(cdi, '=');

	if (is && is_index(is + 1) && first_kind(kind, sizeof(kind), conf->gpu_kinds) && strlen(kind) == (size_t)(is - cdi) &&
	    strncmp(kind, cdi, strlen(kind)) == 0 && qt_fmt(ret, QT_GPU_ID_MAX + 1, SHORT "%s", is + 1))
		return;
	(void)qt_copy(ret, QT_GPU_ID_MAX + 1, cdi);
}

int qt_life_gpus(struct qt_life *l, const struct qt_ctr *c, char *buf, struct rt_strv *ret, struct qt_err *e)
{
	json_t *id;
	size_t i;

	*ret = (struct rt_strv){buf, 0, 0};
	json_array_foreach(c->gpu_ids, i, id) {
		char cdi[QT_GPU_ID_MAX + 1];

		if (!qt_gpu_cdi(cdi, l->conf, json_string_value(id)) || !rt_strv_add(ret, buf, QT_GPUS_BYTES, cdi))
			return qt_fail(e, QT_E_UNAVAILABLE, "a GPU of this container is not one of this node's kinds any more");
	}
	return 0;
}

/* One page of the runtime's list, ids for names: pairs of texts. AFTER is moved on. 1: that was the end. */
static int add_page(struct qt_life *l, json_t *pairs, char after[QT_GPU_ID_MAX + 1], struct qt_err *e)
{
	struct rt_gpus_req req = {.after = rt_str(after)};
	const char *name = NULL, *who = NULL;
	struct rt_gpus_rep rep;

	if (rt_gpus(&l->rt, &req, &rep, GPUS_BUDGET_MS, e) < 0)
		return -1;
	if (rep.gpus.n == 0)
		return 1;
	while ((name = rt_strv_next(&rep.gpus, who)) && (who = rt_strv_next(&rep.gpus, name))) {
		char id[QT_GPU_ID_MAX + 1], other[QT_GPU_ID_MAX + 2] = "=";

		if (strcmp(name, after) <= 0 || !qt_copy(after, QT_GPU_ID_MAX + 1, name))
			return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime's list of GPUs is not one");
		qt_gpu_id(id, l->conf, name);
		if (who[0] == '=')
			qt_gpu_id(other + 1, l->conf, who + 1);
		if (json_array_append_new(pairs, json_string(id)) < 0 ||
		    json_array_append_new(pairs, json_string(who[0] == '=' ? other : who)) < 0)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	}
	return 0;
}

int qt_life_tell_gpus(struct qt_life *l, struct qt_err *e)
{
	json_t *pairs = json_array();
	char after[QT_GPU_ID_MAX + 1] = "";
	int r = 0;

	while (pairs && r == 0)
		r = add_page(l, pairs, after, e);
	if (r > 0)
		r = qt_store_node_gpus(l->store, l->conf->node, pairs, e);
	json_decref(pairs);
	return pairs ? r : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
}
