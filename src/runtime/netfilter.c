#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "netfilter.h"
#include "str.h"

#define PRINT_TRIES 20

struct rt_filter {
	struct rt_nft *nft;
	struct rt_rules rules;
	struct rt_element *els; /* what the kernel should know */
	struct qt_id *tenants;	/* of each */
	uint32_t n, cap;
	uint32_t last_tenant;
	bool doubtful; /* the kernel may know something else */
	uint64_t fixed; /* the print of what is the same for all containers, if it could be taken after the last making */
};

static void nft_closep(struct rt_nft **n)
{
	rt_nft_close(*n);
}

/* What changes while it is read is read again, a few times. */
static int read_print(struct rt_filter *f, struct rt_print *ret, struct qt_err *e)
{
	for (int i = 0; rt_rules_print(f->nft, &f->rules, ret, e) < 0; i++) {
		if (e->sys != EINTR || i == PRINT_TRIES)
			return -1;
		qt_err_reset(e);
	}
	return 0;
}

/* All of it in one transaction: packets see the old table or the new. */
static int rebuild(struct rt_filter *f, struct qt_err *e)
{
	struct qt_err unread = {0};
	const char *what = NULL;
	struct rt_print p;

	rt_nft_begin(f->nft);
	rt_rules_put(f->nft, &f->rules);
	rt_rules_put_elements(f->nft, &f->rules, true, f->els, f->n);
	if (rt_nft_commit(f->nft, &what, e) == 0) {
		f->doubtful = false;
		f->fixed = read_print(f, &p, &unread) < 0 ? 0 : p.fixed;
		return 0;
	}
	f->doubtful = true;
	/* Only what a node can do without is ever left out. */
	if (f->rules.no_count || !rt_rules_is_count(what) || (e->sys != ENOENT && e->sys != EOPNOTSUPP))
		return -1;
	qt_err_reset(e);
	f->rules.no_count = true;
	return rebuild(f, e);
}

int rt_filter_open(struct rt_filter **ret, const struct rt_rules *r, struct qt_err *e)
{
	struct rt_filter *f = calloc(1, sizeof(*f));

	if (!f)
		return qt_fail_sys(e, ENOMEM, "packet filter");
	f->rules = *r;
	if (rt_nft_open(&f->nft, e) < 0 || rebuild(f, e) < 0) {
		rt_filter_close(f);
		return -1;
	}
	*ret = f;
	return 0;
}

void rt_filter_close(struct rt_filter *f)
{
	if (!f)
		return;
	rt_nft_close(f->nft);
	free(f->els);
	free(f->tenants);
	free(f);
}

const struct rt_rules *rt_filter_rules(const struct rt_filter *f)
{
	return &f->rules;
}

static int find(const struct rt_filter *f, uint32_t ip)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (f->els[i].addr.ip == ip)
			return (int)i;
	return -1;
}

/* Two tenants never have one number at one time; a number is not used again before all others were. */
static uint32_t number_of(struct rt_filter *f, const struct qt_id *tenant)
{
	uint32_t i;

	for (i = 0; i < f->n; i++)
		if (qt_streq(f->tenants[i].s, tenant->s))
			return f->els[i].tenant;
	do {
		f->last_tenant++;
		for (i = 0; i < f->n && f->els[i].tenant != f->last_tenant; i++)
			;
	} while (i < f->n);
	return f->last_tenant;
}

static int grow(struct rt_filter *f, struct qt_err *e)
{
	uint32_t cap = f->cap ? f->cap * 2 : 64;
	struct rt_element *els;
	struct qt_id *tenants;

	if (f->n < f->cap)
		return 0;
	els = realloc(f->els, cap * sizeof(*els));
	if (!els)
		return qt_fail_sys(e, ENOMEM, "packet filter");
	f->els = els;
	tenants = realloc(f->tenants, cap * sizeof(*tenants));
	if (!tenants)
		return qt_fail_sys(e, ENOMEM, "packet filter");
	f->tenants = tenants;
	f->cap = cap;
	return 0;
}

static int change(struct rt_filter *f, bool add, const struct rt_element *el)
{
	struct qt_err ignored = {0};

	if (f->doubtful)
		return -1;
	rt_nft_begin(f->nft);
	rt_rules_put_elements(f->nft, &f->rules, add, el, 1);
	return rt_nft_commit(f->nft, NULL, &ignored);
}

int rt_filter_add(struct rt_filter *f, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e)
{
	struct rt_element el = {*a, 0};

	if (find(f, a->ip) >= 0)
		return qt_fail(e, QT_E_CONFLICT, "the address is attached already");
	if (grow(f, e) < 0)
		return -1;
	el.tenant = number_of(f, tenant);
	f->els[f->n] = el;
	f->tenants[f->n] = *tenant;
	f->n++;
	if (change(f, true, &el) == 0 || rebuild(f, e) == 0)
		return 0;
	f->n--;
	return -1;
}

int rt_filter_del(struct rt_filter *f, const struct rt_addr *a, struct qt_err *e)
{
	int i = find(f, a->ip);
	struct rt_element el;

	if (i < 0 || !qt_streq(f->els[i].addr.link, a->link))
		return f->doubtful ? rebuild(f, e) : 0;
	el = f->els[i];
	f->n--;
	f->els[i] = f->els[f->n];
	f->tenants[i] = f->tenants[f->n];
	return change(f, false, &el) == 0 ? 0 : rebuild(f, e);
}

bool rt_filter_has(const struct rt_filter *f, const struct rt_addr *a)
{
	int i = find(f, a->ip);

	return i >= 0 && qt_streq(f->els[i].addr.link, a->link);
}

bool rt_filter_knows(struct rt_filter *f, const struct rt_addr *a)
{
	int i = find(f, a->ip);
	struct qt_err ignored = {0};

	return i >= 0 && rt_rules_know(f->nft, &f->rules, &f->els[i], &ignored) == 1;
}

int rt_filter_check(struct rt_filter *f, struct qt_err *e)
{
	struct rt_print p;

	if (read_print(f, &p, e) < 0)
		return -1;
	if (!f->doubtful && p.fixed == f->fixed && p.moving == rt_rules_print_of(f->els, f->n))
		return 0;
	return rebuild(f, e) < 0 ? -1 : 1;
}

int rt_filter_mend(struct rt_filter *f, const struct rt_addr *a, const struct qt_id *tenant, struct qt_err *e)
{
	if (!rt_filter_has(f, a))
		return rt_filter_add(f, a, tenant, e);
	return rt_filter_knows(f, a) ? 0 : rebuild(f, e);
}

unsigned rt_filter_count(const struct rt_filter *f)
{
	return f->n;
}

int rt_filter_remove(struct rt_filter *f, struct qt_err *e)
{
	rt_nft_begin(f->nft);
	rt_rules_put_removal(f->nft, &f->rules);
	return rt_nft_commit(f->nft, NULL, e);
}

int rt_filter_old_note(const char *table, char *out, struct qt_err *e)
{
	QT_AUTO(nft_closep) struct rt_nft *n = NULL;

	if (rt_nft_open(&n, e) < 0)
		return -1;
	return rt_rules_note(n, table, out, e);
}
