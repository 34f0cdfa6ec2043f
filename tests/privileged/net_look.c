#include <errno.h>
#include <stdio.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "net_look.h"
#include "net_peer.h"
#include "str.h"

/* A dump that another change overtakes is asked for again. */
static int ask(struct rt_nft *n, uint16_t type, uint16_t flags, const char *table, const char *set, mnl_cb_t cb, void *arg,
	       void *reset, size_t size)
{
	struct qt_err e;
	int r;

	do {
		e = (struct qt_err){0};
		memset(reset, 0, size);
		r = rt_nft_ask(n, type, flags, table, set, cb, arg, &e);
	} while (r < 0 && e.sys == EINTR);
	assert_true(r >= 0);
	return r;
}

struct counter {
	const char *name;
	struct found {
		bool yes;
		uint64_t packets;
	} found;
};

static int on_expr(struct nftnl_expr *x, void *arg)
{
	struct counter *c = arg;

	if (qt_streq(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "counter")) {
		c->found.yes = true;
		c->found.packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
	}
	return 0;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct counter *c = arg;
	const char *u;
	uint32_t len = 0;

	assert_non_null(r);
	assert_int_equal(nftnl_rule_nlmsg_parse(h, r), 0);
	u = nftnl_rule_get_data(r, NFTNL_RULE_USERDATA, &len);
	if (u && len == strlen(c->name) + 3 && memcmp(u + 2, c->name, len - 2) == 0 && !c->found.yes)
		assert_true(nftnl_expr_foreach(r, on_expr, c) >= 0);
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

uint64_t look_counter(struct rt_nft *n, const char *table, const char *rule)
{
	struct counter c = {.name = rule};

	(void)ask(n, NFT_MSG_GETRULE, NLM_F_DUMP, table, NULL, on_rule, &c, &c.found, sizeof(c.found));
	if (!c.found.yes)
		fail_msg("no rule '%s'", rule);
	return c.found.packets;
}

void look_wait(struct rt_nft *n, const char *table, const char *rule, uint64_t before)
{
	int64_t deadline = qt_mono_ms() + PATIENCE_MS;

	while (look_counter(n, table, rule) <= before) {
		if (qt_mono_ms() > deadline)
			fail_msg("nothing met the rule '%s'", rule);
		(void)poll(NULL, 0, 1);
	}
}

static int count_one(struct nftnl_set_elem *el, void *arg)
{
	(void)el;
	(*(unsigned *)arg)++;
	return 0;
}

static int on_elements(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_set *s = nftnl_set_alloc();

	assert_non_null(s);
	assert_int_equal(nftnl_set_elems_nlmsg_parse(h, s), 0);
	(void)nftnl_set_elem_foreach(s, count_one, arg);
	nftnl_set_free(s);
	return MNL_CB_OK;
}

unsigned look_elements(struct rt_nft *n, const char *table, const char *set)
{
	unsigned count = 0;

	assert_int_equal(ask(n, NFT_MSG_GETSETELEM, NLM_F_DUMP, table, set, on_elements, &count, &count, sizeof(count)), 1);
	return count;
}

static int on_anything(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	(void)arg;
	return MNL_CB_OK;
}

bool look_table(struct rt_nft *n, const char *table)
{
	return ask(n, NFT_MSG_GETTABLE, 0, table, NULL, on_anything, NULL, &(char){0}, 1) == 1;
}

void look_remove_table(struct rt_nft *n, const char *table)
{
	struct qt_err e = {0};
	struct nlmsghdr *h;

	rt_nft_begin(n);
	h = rt_nft_msg(n, NFT_MSG_DELTABLE, 0, "the table");
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, table);
	rt_nft_msg_done(n, h);
	assert_int_equal(rt_nft_commit(n, NULL, &e), 0);
}
