#include <string.h>

#include "cleanup.h"
#include "snap.h"

const char *const qt_consistency_words[] = {"crash-consistent", "app-consistent", NULL};
const char *const qt_network_words[] = {"reset", "preserve_ns", "preserve_conn_best_effort", NULL};
const char *const qt_volume_words[] = {"exclude", "include_named", "include_all_allowed", NULL};
const char *const qt_resume_words[] = {"manual", "immediate", NULL};
static const char *const statuses[] = {"creating", "ready", NULL};

#define SNAP(m, type, flags, max, prefix, name, doc) QT_MFIELD(qt_snap, m, type, flags, max, prefix, name, doc)
#define WORD(m, words, name, doc) QT_MWORD(qt_snap, m, 0, words, name, doc)

/* clang-format off */
static const struct qt_mfield fields[] = {
	SNAP(id,          QT_FT_ID,   QT_CF_REQUIRED, 0, "snap", "id",                    "snap_…"),
	SNAP(tenant,      QT_FT_ID,   QT_CF_REQUIRED, 0, "ten",  "tenant_id",             "ten_…"),
	SNAP(source,      QT_FT_ID,   QT_CF_REQUIRED, 0, "ctr",  "source_container_id",   "ctr_…"),
	SNAP(source_name, QT_FT_STR,  0, 0, NULL,   "source_container_name", "at that time"),
	SNAP(parent,      QT_FT_ID,   0, 0, "snap", "parent_snapshot_id",    "that the source was cloned from; empty: none"),
	SNAP(name,        QT_FT_STR,  0, 0, NULL,   "name",                  "empty: none"),
	SNAP(node,        QT_FT_STR,  0, 0, NULL,   "node",                  "the machine that has the data"),
	WORD(status,      statuses,             "status",           "creating or ready"),
	WORD(consistency, qt_consistency_words, "consistency_mode", ""),
	WORD(network,     qt_network_words,     "network_mode",     ""),
	WORD(volumes,     qt_volume_words,      "volume_mode",      ""),
	SNAP(pinned,      QT_FT_BOOL, 0, 0, NULL,   "pinned",                "1 or 0"),
	SNAP(unsaved,     QT_FT_BOOL, 0, 0, NULL,   "unsaved",               "1: changed since the runtime's record was written"),
	SNAP(ttl_s,       QT_FT_U64,  0, 0, NULL,   "ttl_seconds",           "0: none"),
	SNAP(size_bytes,  QT_FT_U64,  0, 0, NULL,   "size_bytes",            ""),
	SNAP(created_ms,  QT_FT_MS,   0, 0, NULL,   "created_ms",            ""),
	SNAP(expires_ms,  QT_FT_MS,   0, 0, NULL,   "expires_ms",            "0: never"),
	SNAP(deadline_ms, QT_FT_MS,   0, 0, NULL,   "deadline_ms",           "in creating: when whoever makes it has failed; 0: none"),
	SNAP(deleting_ms, QT_FT_MS,   0, 0, NULL,   "deleting_ms",           "when a delete began, which the agent finishes if need be; 0: none"),
	SNAP(labels,      QT_FT_MAP,  0, QT_LABELS_MAX, NULL, "labels",      "JSON object of strings"),
	SNAP(captured,    QT_FT_MAP,  0, 64, NULL,  "captured",              "JSON object: name of each volume whose data is in it, to the volume's id then"),
	SNAP(spec,        QT_FT_JSON, 0, 0, NULL,   "spec",                  "JSON object: the fields that a clone's record begins with"),
};
/* clang-format on */
const struct qt_mtable qt_snap_table = {"snapshot", fields, QT_LEN(fields)};

void qt_snap_init(struct qt_snap *s)
{
	memset(s, 0, sizeof(*s));
	s->labels = json_object();
	s->captured = json_object();
	s->spec = json_object();
}

void qt_snap_done(struct qt_snap *s)
{
	json_decref(s->labels);
	json_decref(s->captured);
	json_decref(s->spec);
	memset(s, 0, sizeof(*s));
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

static json_t *count_or_null(uint64_t n)
{
	return n > 0 ? json_integer((json_int_t)n) : json_null();
}

/* The contract wants Unix seconds here, as in operations. */
json_t *qt_snap_view(const struct qt_snap *s)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:s, s:o, s:s, s:s, s:s, s:s, s:O, s:b, s:o, s:I, s:I, s:o, s:{}}", "snapshot_id",
			 s->id.s, "id", s->id.s, "source_container_id", s->source.s, "source_container_name",
			 text_or_null(s->source_name), "container_id", s->source.s, "parent_snapshot_id", text_or_null(s->parent.s),
			 "tenant_id", s->tenant.s, "name", text_or_null(s->name), "status",
			 s->deleting_ms > 0 ? "deleting" : statuses[s->status], "consistency_mode",
			 qt_consistency_words[s->consistency], "network_mode", qt_network_words[s->network], "volume_mode",
			 qt_volume_words[s->volumes], "labels", s->labels, "pinned", (int)s->pinned, "ttl_seconds",
			 count_or_null(s->ttl_s), "size_bytes", (json_int_t)s->size_bytes, "created_at",
			 (json_int_t)(s->created_ms / 1000), "expires_at",
			 count_or_null(s->expires_ms > 0 ? (uint64_t)s->expires_ms / 1000 : 0), "metadata");
}

char *qt_snap_dump(const struct qt_snap *s, struct qt_err *e)
{
	return qt_record_dump(&qt_snap_table, s, QT_RECORD_MAX, e);
}

int qt_snap_load(struct qt_snap *ret, const char *text, size_t len, struct qt_err *e)
{
	qt_snap_init(ret);
	if (qt_record_load(&qt_snap_table, ret, text, len, QT_RECORD_MAX, e) == 0)
		return 0;
	qt_snap_done(ret);
	return -1;
}
