#include "session.h"

#include "cleanup.h"
#include "str.h"

#define SES(member, type, flags, prefix, name, doc) QT_MFIELD(qt_session, member, type, flags, 0, prefix, name, doc)

/* clang-format off */
static const struct qt_mfield fields[] = {
	SES(id,         QT_FT_ID,  QT_CF_REQUIRED, "sess", "id",           "sess_…"),
	SES(tenant,     QT_FT_ID,  QT_CF_REQUIRED, "ten",  "tenant_id",    ""),
	SES(container,  QT_FT_ID,  QT_CF_REQUIRED, "ctr",  "container_id", ""),
	SES(node,       QT_FT_STR, 0,              NULL,   "node",         "where it runs"),
	SES(shell,      QT_FT_STR, 0,              NULL,   "shell",        ""),
	SES(cols,       QT_FT_U32, QT_CF_RUN,      NULL,   "cols",         ""),
	SES(rows,       QT_FT_U32, QT_CF_RUN,      NULL,   "rows",         ""),
	SES(pid,        QT_FT_U32, QT_CF_RUN,      NULL,   "pid",          "as the container sees it; 0: it is being started"),
	SES(attached,   QT_FT_U32, QT_CF_RUN,      NULL,   "attached",     "clients now"),
	SES(created_ms, QT_FT_MS,  0,              NULL,   "created_ms",   ""),
	SES(last_ms,    QT_FT_MS,  QT_CF_RUN,      NULL,   "last_ms",      "when something was typed or written, to half a minute"),
	SES(expires_ms, QT_FT_MS,  0,              NULL,   "expires_ms",   "its end, whatever it does"),
};
/* clang-format on */
const struct qt_mtable qt_session_table = {"terminal session", fields, QT_LEN(fields)};

static const char *state(const struct qt_session *s, int64_t now_ms)
{
	if (now_ms - s->last_ms > QT_SESSION_QUIET_MS)
		return "idle";
	return s->attached ? "active" : "ready";
}

/* "https://host" -> "wss://host". */
static json_t *url(const struct qt_session *s, const char *base)
{
	const char *ws = qt_starts(base, "http") ? "ws" : "";

	return json_sprintf("%s%s/ws/terminal/attach?session_id=%s", ws, *ws ? base + 4 : base, s->id.s);
}

json_t *qt_session_view(const struct qt_session *s, const char *base, int64_t now_ms)
{
	return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:i, s:o, s:I, s:I, s:I}", "session_id", s->id.s, "attach_url", url(s, base),
			 "target", "container", "container_id", s->container.s, "state", state(s, now_ms), "shell", s->shell, "cols",
			 (int)s->cols, "rows", (int)s->rows, "pid", s->pid ? json_integer(s->pid) : json_null(), "created_at",
			 (json_int_t)(s->created_ms / 1000), "last_activity_at", (json_int_t)(s->last_ms / 1000), "expires_at",
			 (json_int_t)(s->expires_ms / 1000));
}
