#include "quota.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"

#define BUCKETS 1024

static struct count {
	struct count *next;
	struct qt_id id;
	uint64_t n;
} *counts[BUCKETS];

/* Ids are random: a few characters of one tell it from most others. */
static struct count **find(const struct qt_id *id)
{
	uint32_t h = 0;
	struct count **p;

	for (const char *s = id->s; *s; s++)
		h = h * 31 + (unsigned char)*s;
	for (p = &counts[h % BUCKETS]; *p && !qt_streq((*p)->id.s, id->s); p = &(*p)->next)
		continue;
	return p;
}

int sq_quota_take(struct sq *sq, const struct qt_id *tenant, struct qt_err *e)
{
	struct count **p = find(tenant), *c = *p;

	if (c && c->n >= sq->conf.tenant_streams)
		return qt_fail(e, QT_E_QUOTA_EXCEEDED, "the tenant has %llu streams open, and may not have more", (unsigned long long)c->n);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		c->id = *tenant;
		*p = c;
	}
	c->n++;
	return 0;
}

void sq_quota_give(const struct qt_id *tenant)
{
	struct count **p = find(tenant), *c = *p;

	if (--c->n > 0)
		return;
	*p = c->next;
	free(c);
}
