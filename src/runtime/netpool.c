#include <string.h>

#include "cleanup.h"
#include "netpool.h"
#include "rnd.h"
#include "str.h"

struct slot {
	char link[16]; /* the current one, or the last if the address is free; "" if it was never used */
	uint32_t at;   /* 1 + its place in used[]; 0: free */
	bool clean;
};

struct rt_pool {
	struct rt_cidr net;
	uint32_t gateway, size, next;
	char prefix[8];
	struct slot *slots; /* by the address's offset in the network */
	uint32_t *used;
	uint32_t n_used, cap;
};

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";

bool rt_link_ok(const char *prefix, const char *name)
{
	size_t n = strlen(prefix);

	if (!qt_starts(name, prefix) || strlen(name) != n + RT_LINK_RANDOM)
		return false;
	return strspn(name + n, alphabet) == RT_LINK_RANDOM;
}

static void make_link(char *out, size_t size, const char *prefix)
{
	unsigned char rnd[RT_LINK_RANDOM];
	char tail[RT_LINK_RANDOM + 1];

	qt_rnd(rnd, sizeof(rnd));
	for (size_t i = 0; i < sizeof(rnd); i++)
		tail[i] = alphabet[rnd[i] % (sizeof(alphabet) - 1)];
	tail[RT_LINK_RANDOM] = '\0';
	(void)qt_fmt(out, size, "%s%s", prefix, tail);
}

int rt_pool_new(struct rt_pool **ret, const struct rt_cidr *net, uint32_t gateway, const char *prefix, uint32_t start,
		struct qt_err *e)
{
	struct rt_pool *p;
	struct rt_addr a;

	if (net->bits < RT_POOL_BITS_MIN || net->bits > RT_POOL_BITS_MAX)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "subnet: a prefix of /%d to /%d is needed", RT_POOL_BITS_MIN,
			       RT_POOL_BITS_MAX);
	if (prefix[0] == '\0' || strlen(prefix) + RT_LINK_RANDOM >= sizeof(a.link) ||
	    strspn(prefix, alphabet) != strlen(prefix))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "link_prefix: one to four lower-case letters and digits are needed");
	p = calloc(1, sizeof(*p));
	if (!p)
		return qt_fail_sys(e, ENOMEM, "address pool");
	p->net = *net;
	p->gateway = gateway;
	p->size = (uint32_t)1 << (32 - net->bits);
	p->next = start % p->size;
	(void)qt_copy(p->prefix, sizeof(p->prefix), prefix);
	p->slots = calloc(p->size, sizeof(*p->slots));
	if (!p->slots) {
		rt_pool_free(p);
		return qt_fail_sys(e, ENOMEM, "address pool");
	}
	*ret = p;
	return 0;
}

void rt_pool_free(struct rt_pool *p)
{
	if (!p)
		return;
	free(p->slots);
	free(p->used);
	free(p);
}

static bool usable(const struct rt_pool *p, uint32_t off)
{
	return off != 0 && off != p->size - 1 && p->net.base + off != p->gateway;
}

static int mark_used(struct rt_pool *p, uint32_t off, struct qt_err *e)
{
	if (p->n_used == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 64;
		uint32_t *more = realloc(p->used, cap * sizeof(*more));

		if (!more)
			return qt_fail_sys(e, ENOMEM, "address pool");
		p->used = more;
		p->cap = cap;
	}
	p->used[p->n_used++] = off;
	p->slots[off].at = p->n_used;
	return 0;
}

int rt_pool_take(struct rt_pool *p, bool (*is_there)(void *arg, const char *link), void *arg, struct rt_addr *ret,
		 struct qt_err *e)
{
	for (uint32_t i = 0; i < p->size; i++) {
		uint32_t off = p->next;
		struct slot *s = &p->slots[off];

		p->next = (p->next + 1) % p->size;
		if (!usable(p, off) || s->at != 0)
			continue;
		if (s->link[0] != '\0' && is_there(arg, s->link))
			continue;
		if (mark_used(p, off, e) < 0)
			return -1;
		make_link(s->link, sizeof(s->link), p->prefix);
		ret->ip = p->net.base + off;
		memcpy(ret->link, s->link, sizeof(ret->link));
		return 0;
	}
	return qt_fail(e, QT_E_CAPACITY_FULL, "no free address is left on this node");
}

int rt_pool_take_this(struct rt_pool *p, const struct rt_addr *a, struct qt_err *e)
{
	uint32_t off = a->ip - p->net.base;
	char ip[16];

	rt_net_text(ip, sizeof(ip), a->ip);
	if (!rt_cidr_has(&p->net, a->ip) || !usable(p, off) || memchr(a->link, '\0', sizeof(a->link)) == NULL ||
	    !rt_link_ok(p->prefix, a->link))
		return qt_fail(e, QT_E_CONFLICT, "address %s with its link is not of this node's subnet", ip);
	if (p->slots[off].at != 0)
		return qt_fail(e, QT_E_CONFLICT, "address %s is taken", ip);
	for (uint32_t i = 0; i < p->n_used; i++)
		if (qt_streq(p->slots[p->used[i]].link, a->link))
			return qt_fail(e, QT_E_CONFLICT, "the link of address %s is taken", ip);
	if (mark_used(p, off, e) < 0)
		return -1;
	memcpy(p->slots[off].link, a->link, sizeof(a->link));
	return 0;
}

int rt_pool_take_ip(struct rt_pool *p, uint32_t ip, struct rt_addr *ret, struct qt_err *e)
{
	uint32_t off = ip - p->net.base;
	char net[16], expected[64];

	if (!rt_cidr_has(&p->net, ip) || !usable(p, off)) {
		rt_net_text(net, sizeof(net), p->net.base);
		(void)qt_fmt(expected, sizeof(expected), "an address of %s/%u", net, p->net.bits);
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/ip_address", expected, "this is no address for a container");
	}
	if (p->slots[off].at != 0)
		return qt_fail(e, QT_E_CONFLICT, "the address is taken");
	if (mark_used(p, off, e) < 0)
		return -1;
	make_link(p->slots[off].link, sizeof(p->slots[off].link), p->prefix);
	ret->ip = ip;
	memcpy(ret->link, p->slots[off].link, sizeof(ret->link));
	return 0;
}

bool rt_pool_has(const struct rt_pool *p, const struct rt_addr *a)
{
	const struct slot *s;

	if (!rt_cidr_has(&p->net, a->ip))
		return false;
	s = &p->slots[a->ip - p->net.base];
	return s->at != 0 && strncmp(s->link, a->link, sizeof(a->link)) == 0;
}

void rt_pool_give(struct rt_pool *p, const struct rt_addr *a)
{
	struct slot *s;
	uint32_t last;

	if (!rt_pool_has(p, a))
		return;
	s = &p->slots[a->ip - p->net.base];
	s->clean = false;
	last = p->used[--p->n_used];
	p->used[s->at - 1] = last;
	p->slots[last].at = s->at;
	s->at = 0;
}

bool rt_pool_dirty(const struct rt_pool *p, uint32_t ip)
{
	return rt_cidr_has(&p->net, ip) && !p->slots[ip - p->net.base].clean;
}

void rt_pool_clean(struct rt_pool *p)
{
	for (uint32_t i = 0; i < p->size; i++)
		p->slots[i].clean = true;
}

bool rt_pool_free_ip(const struct rt_pool *p, uint32_t ip)
{
	return rt_cidr_has(&p->net, ip) && usable(p, ip - p->net.base) && p->slots[ip - p->net.base].at == 0;
}
