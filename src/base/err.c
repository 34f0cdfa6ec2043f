#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "err.h"

static const struct qt_err_row rows[QT_CODE_COUNT] = {
	[QT_OK] = {"INTERNAL_ERROR", 500, false, 0, ""},
#define QT_E(sym, st, sh, ra, hi) [QT_E_##sym] = {#sym, st, sh, ra, hi},
#include "errors.def"
#undef QT_E
};

const struct qt_err_row *qt_err_row(enum qt_code code)
{
	return (unsigned)code < QT_CODE_COUNT ? &rows[code] : &rows[QT_E_INTERNAL_ERROR];
}

enum qt_code qt_err_parse(const char *name)
{
	for (int code = QT_OK + 1; code < QT_CODE_COUNT; code++)
		if (strcmp(rows[code].name, name) == 0)
			return (enum qt_code)code;
	return QT_OK;
}

int qt_fail(struct qt_err *e, enum qt_code code, const char *fmt, ...)
{
	va_list ap;

	if (e->code != QT_OK)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -1;
}

static enum qt_code from_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
		return QT_E_INSUFFICIENT_STORAGE;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return QT_E_UNAVAILABLE;
	default:
		return QT_E_INTERNAL_ERROR;
	}
}

int qt_fail_sys(struct qt_err *e, int sys, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (e->code != QT_OK)
		return -1;
	e->code = from_errno(sys);
	e->sys = sys;
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg))
		(void)snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", strerror(sys));
	return -1;
}

int qt_fail_field(struct qt_err *e, enum qt_code code, const char *field, const char *expected, const char *fmt, ...)
{
	va_list ap;

	if (e->code != QT_OK)
		return -1;
	e->code = code;
	(void)snprintf(e->field, sizeof(e->field), "%s", field);
	(void)snprintf(e->expected, sizeof(e->expected), "%s", expected);
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int qt_context(struct qt_err *e, const char *fmt, ...)
{
	char outer[128], inner[sizeof(e->msg)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(outer, sizeof(outer), fmt, ap);
	va_end(ap);
	memcpy(inner, e->msg, sizeof(inner));
	inner[sizeof(inner) - 1] = '\0';
	(void)snprintf(e->msg, sizeof(e->msg), "%s: %.*s", outer, (int)(sizeof(e->msg) - strlen(outer) - 3), inner);
	return -1;
}

void qt_err_reset(struct qt_err *e)
{
	memset(e, 0, sizeof(*e));
}
