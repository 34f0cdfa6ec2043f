#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cleanup.h"
#include "fields.h"
#include "model.h"
#include "num.h"
#include "str.h"

void qt_vol_init(struct qt_vol *v)
{
	memset(v, 0, sizeof(*v));
	v->labels = json_object();
	v->options = json_object();
}

void qt_vol_done(struct qt_vol *v)
{
	json_decref(v->labels);
	json_decref(v->options);
	memset(v, 0, sizeof(*v));
}

const char *qt_vol_status(const struct qt_vol *v)
{
	return v->deleting_ms > 0 ? "deleting" : v->deadline_ms > 0 ? "creating" : "ready";
}

/* Both spellings of the mount point are in use among clients; where it lies on the host is nobody's business. */
json_t *qt_vol_view(const struct qt_vol *v)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:O, s:O, s:o, s:I, s:s}", "id", v->id.s, "name", v->name, "tenant_id", v->tenant.s,
			 "driver", "local", "mount_point", "mountpoint", "labels", v->labels, "options", v->options, "max_bytes",
			 v->max_bytes ? json_integer((json_int_t)v->max_bytes) : json_null(), "created_at",
			 (json_int_t)(v->created_ms / 1000), "status", qt_vol_status(v));
}

char *qt_vol_dump(const struct qt_vol *v, struct qt_err *e)
{
	return qt_record_dump(&qt_vol_table, v, QT_RECORD_MAX, e);
}

int qt_vol_load(struct qt_vol *ret, const char *text, size_t len, struct qt_err *e)
{
	qt_vol_init(ret);
	if (qt_record_load(&qt_vol_table, ret, text, len, QT_RECORD_MAX, e) == 0)
		return 0;
	qt_vol_done(ret);
	return -1;
}

/* --- checks ------------------------------------------------------------------------------------------- */

#define NAME_RULE   "1 to 64 letters, digits, \"-\" or \"_\"; not \"vol_…\""
#define VOLUME_RULE "<volume-name>:<absolute target>, or <volume-name>:<absolute target>:ro"
#define SIZE_RULE   "bytes, or a number with K, M, G or T; at least 1M"

int qt_check_volume_name(const char *field, const char *name, struct qt_err *e)
{
	if (name[0] == '\0' || strlen(name) > QT_VOLNAME_MAX || !qt_made_of(name, "-_"))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, NAME_RULE, "the volume's name is not acceptable");
	if (qt_starts(name, "vol_"))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, NAME_RULE,
				     "a name must not look like a volume's id: it cannot begin with \"vol_\"");
	return 0;
}

static int bad(const char *field, const char *why, struct qt_err *e)
{
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, VOLUME_RULE, "%s", why);
}

int qt_mount_parse(const char *field, const char *spec, struct qt_mount *ret, struct qt_err *e)
{
	static const char *const closed[] = {"/bin", "/sbin", "/lib", "/lib64", "/usr", "/proc", "/sys", "/dev", "/etc"};
	const char *colon = strchr(spec, ':'), *end;
	char target[QT_WORKDIR_MAX + 1];
	struct qt_mount m = {0};

	if (spec[0] == '/' || spec[0] == '.')
		return bad(field, "a directory of the host cannot be attached", e);
	if (!colon)
		return bad(field, "the volume has no target", e);
	if (colon == spec || colon - spec > QT_VOLNAME_MAX)
		return bad(field, "the volume's name is not acceptable", e);
	memcpy(m.name, spec, (size_t)(colon - spec));
	if (!qt_made_of(m.name, "_-"))
		return bad(field, "the volume's name is not acceptable", e);
	end = strchr(colon + 1, ':');
	m.read_only = end && qt_streq(end, ":ro");
	if (end && !m.read_only)
		return bad(field, "what follows the volume's target is unknown", e);
	if (!qt_fmt(target, sizeof(target), "%.*s", end ? (int)(end - colon - 1) : QT_WORKDIR_MAX + 1, colon + 1))
		return bad(field, "the volume's target is too long", e);
	if (!qt_normal_path(m.target, sizeof(m.target), target) || m.target[0] == '\0')
		return bad(field, "the volume's target is not acceptable", e);
	for (size_t i = 0; i < QT_LEN(closed); i++)
		if (qt_path_below(m.target, closed[i]))
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, VOLUME_RULE, "a volume cannot cover %s", closed[i]);
	*ret = m;
	return 0;
}

int qt_check_volume(const char *field, const char *spec, struct qt_err *e)
{
	struct qt_mount m;

	return qt_mount_parse(field, spec, &m, e);
}

int qt_check_volumes(const char *field, const json_t *volumes, struct qt_err *e)
{
	struct qt_mount m, before;
	size_t bytes = 0;
	char at[96];

	for (size_t i = 0; i < json_array_size(volumes); i++) {
		(void)snprintf(at, sizeof(at), "%.70s/%zu", field, i);
		if (qt_mount_parse(at, json_string_value(json_array_get(volumes, i)), &m, e) < 0)
			return -1;
		bytes += QT_ID_MAX + strlen(m.target) + sizeof("::ro");
		if (bytes > QT_MOUNTS_BYTES)
			return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "fewer volumes, or shorter targets", "the volumes' targets are too long");
		for (size_t k = 0; k < i; k++) {
			if (qt_mount_parse(at, json_string_value(json_array_get(volumes, k)), &before, e) < 0)
				return -1;
			if (qt_streq(m.target, before.target))
				return qt_fail_field(e, QT_E_VALIDATION_ERROR, at, "a target for each volume", "two volumes have one target");
			if (qt_path_below(before.target, m.target))
				return qt_fail_field(e, QT_E_VALIDATION_ERROR, at, "the outer target before the inner one",
						     "this volume would hide one that stands before it");
		}
	}
	return 0;
}

int qt_check_size(const char *field, const char *text, uint64_t *ret, struct qt_err *e)
{
	static const char units[] = "KMGT";
	size_t n = strlen(text);
	const char *unit = n > 1 ? strchr(units, text[n - 1] & ~0x20) : NULL;
	unsigned shift = unit && *unit ? 10 * (unsigned)(unit - units + 1) : 0;
	char digits[24];
	uint64_t v;

	if (!qt_fmt(digits, sizeof(digits), "%.*s", (int)(shift ? n - 1 : n), text) || !qt_u64(&v, digits, 0, (uint64_t)INT64_MAX >> shift) ||
	    v << shift < 1U << 20)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, SIZE_RULE, "the size is not acceptable");
	*ret = v << shift;
	return 0;
}
