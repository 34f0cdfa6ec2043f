#include "termmsg.h"

#include <signal.h>
#include <string.h>

#include "dec.h"
#include "model/session.h"
#include "str.h"

static const struct {
	const char *name;
	int number;
} signals[] = {{"SIGINT", SIGINT}, {"SIGTERM", SIGTERM}, {"SIGHUP", SIGHUP}};

static bool size_of(const json_t *j, unsigned *ret)
{
	json_int_t n = json_integer_value(j);

	if (!json_is_integer(j) || n < 1 || n > QT_TERMINAL_SIZE)
		return false;
	*ret = (unsigned)n;
	return true;
}

static enum qt_term_kind parse(const json_t *j, struct qt_term_msg *m)
{
	const char *type = json_string_value(json_object_get(j, "type")), *name;

	if (!type)
		return QT_TERM_BAD;
	if (qt_streq(type, "ping")) {
		json_t *ts = json_object_get(j, "ts");

		if (json_is_object(ts) || json_is_array(ts))
			return QT_TERM_BAD;
		m->ts = ts ? json_incref(ts) : json_null();
		return QT_TERM_PING;
	}
	if (qt_streq(type, "resize"))
		return size_of(json_object_get(j, "cols"), &m->cols) && size_of(json_object_get(j, "rows"), &m->rows) ? QT_TERM_RESIZE : QT_TERM_BAD;
	name = json_string_value(json_object_get(j, "signal"));
	for (size_t i = 0; qt_streq(type, "signal") && name && i < QT_LEN(signals); i++) {
		if (qt_streq(signals[i].name, name)) {
			m->signal = signals[i].number;
			return QT_TERM_SIGNAL;
		}
	}
	return QT_TERM_BAD;
}

void qt_term_parse(const char *text, size_t len, struct qt_term_msg *ret)
{
	struct qt_err e = {0};
	json_t *j = len <= QT_TERM_TEXT_MAX ? qt_json_parse(text, len, false, &e) : NULL;

	*ret = (struct qt_term_msg){.kind = QT_TERM_BAD};
	if (j)
		ret->kind = parse(j, ret);
	json_decref(j);
}
