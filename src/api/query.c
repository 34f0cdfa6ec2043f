#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "num.h"
#include "query.h"
#include "str.h"

const char *qt_query_str(const struct qt_call *c, const char *name, const char *absent)
{
	for (unsigned i = 0; i < c->n_query; i++)
		if (qt_streq(c->query[i].name, name))
			return c->query[i].value;
	return absent;
}

uint64_t qt_query_u64(const struct qt_call *c, const char *name, uint64_t absent)
{
	const char *v = qt_query_str(c, name, NULL);

	return v && qt_u64(&absent, v, 0, UINT64_MAX) ? absent : absent;
}

static bool fits(const struct qt_qfield *q, const char *value, char *want, size_t size)
{
	uint64_t n;

	switch (q->kind) {
	case QT_Q_STR:
		(void)snprintf(want, size, "%" PRIu64 " to %" PRIu64 " bytes", q->min, q->max);
		return strlen(value) >= q->min && strlen(value) <= q->max;
	case QT_Q_LABEL:
		(void)snprintf(want, size, "key=value, at most %" PRIu64 " bytes", q->max);
		return strchr(value, '=') && value[0] != '=' && strlen(value) <= q->max;
	case QT_Q_U64:
		(void)snprintf(want, size, "an integer from %" PRIu64 " to %" PRIu64, q->min, q->max);
		return qt_u64(&n, value, q->min, q->max);
	case QT_Q_BOOL:
		(void)snprintf(want, size, "true; false");
		return qt_streq(value, "true") || qt_streq(value, "false");
	case QT_Q_WORD:
	case QT_Q_WORDS: {
		size_t at = 0;
		bool ok = false;

		for (const char *const *w = q->words; *w; w++) {
			ok = ok || qt_streq(*w, value);
			if (at < size)
				at += (size_t)snprintf(want + at, size - at, "%s%s", at ? "; " : "", *w);
		}
		return ok;
	}
	}
	return false;
}

int qt_query_check(const struct qt_call *c, struct qt_err *e)
{
	if (!c->route->query)
		return 0;
	for (const struct qt_qfield *q = c->route->query; q->name; q++) {
		const char *value = NULL;

		for (unsigned i = 0; i < c->n_query; i++) {
			char want[320] = "";

			if (!qt_streq(c->query[i].name, q->name))
				continue;
			if (value && q->kind != QT_Q_LABEL && q->kind != QT_Q_WORDS)
				return qt_fail_field(e, QT_E_VALIDATION_ERROR, q->name, "", "%s is given twice", q->name);
			value = c->query[i].value;
			if (fits(q, value, want, sizeof(want)))
				continue;
			(void)qt_fail_field(e, QT_E_VALIDATION_ERROR, q->name, want, "%s is not acceptable", q->name);
			(void)snprintf(e->received, sizeof(e->received), "%.60s", value);
			return -1;
		}
	}
	return 0;
}
