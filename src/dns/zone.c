#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "str.h"
#include "zone.h"

struct dns_zone {
	struct dns_host *v;
	size_t n, cap;
	const struct dns_host **by_ip, **by_name;
};

int dns_zone_new(struct dns_zone **ret, struct qt_err *e)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
}

void dns_zone_free(struct dns_zone *z)
{
	if (!z)
		return;
	free(z->v);
	free(z->by_ip);
	free(z->by_name);
	free(z);
}

int dns_zone_add(struct dns_zone *z, const struct dns_host *h, struct qt_err *e)
{
	if (z->n == z->cap) {
		size_t cap = z->cap ? z->cap * 2 : 64;
		struct dns_host *v = reallocarray(z->v, cap, sizeof(*v));
		const struct dns_host **a = v ? reallocarray(z->by_ip, cap, sizeof(*a)) : NULL;
		const struct dns_host **b;

		if (v)
			z->v = v;
		if (a)
			z->by_ip = a;
		b = a ? reallocarray(z->by_name, cap, sizeof(*b)) : NULL;
		if (!b)
			return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		z->by_name = b;
		z->cap = cap;
	}
	z->v[z->n++] = *h;
	return 0;
}

static int by_ip(const void *a, const void *b)
{
	const struct dns_host *x = *(const struct dns_host *const *)a, *y = *(const struct dns_host *const *)b;

	return x->ip < y->ip ? -1 : x->ip > y->ip;
}

static int by_folded_name(const struct dns_host *x, const struct dns_host *y)
{
	int c = strcmp(x->tenant.s, y->tenant.s);

	return c ? c : strcasecmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
	const struct dns_host *x = *(const struct dns_host *const *)a, *y = *(const struct dns_host *const *)b;
	int c = by_folded_name(x, y);

	/* "web" before "Web". */
	return c ? c : strcmp(y->name, x->name);
}

void dns_zone_seal(struct dns_zone *z)
{
	for (size_t i = 0; i < z->n; i++)
		z->by_ip[i] = z->by_name[i] = &z->v[i];
	if (z->n == 0)
		return;
	qsort(z->by_ip, z->n, sizeof(*z->by_ip), by_ip);
	qsort(z->by_name, z->n, sizeof(*z->by_name), by_name);
}

const struct dns_host *dns_zone_at(const struct dns_zone *z, uint32_t ip)
{
	const struct dns_host want = {.ip = ip}, *p = &want, **found;

	found = z->n ? bsearch(&p, z->by_ip, z->n, sizeof(*z->by_ip), by_ip) : NULL;
	return found ? *found : NULL;
}

const struct dns_host *dns_zone_find(const struct dns_zone *z, const struct qt_id *tenant, const char *name)
{
	struct dns_host want = {.tenant = *tenant};
	size_t low = 0, high = z->n;

	if (!qt_copy(want.name, sizeof(want.name), name))
		return NULL;
	while (low < high) { /* the first of those that are the same but for their case */
		size_t mid = low + (high - low) / 2;

		if (by_folded_name(z->by_name[mid], &want) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < z->n && by_folded_name(z->by_name[low], &want) == 0 ? z->by_name[low] : NULL;
}

size_t dns_zone_count(const struct dns_zone *z)
{
	return z->n;
}
