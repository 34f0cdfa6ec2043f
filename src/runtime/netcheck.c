/* Is the table in the kernel still the one that we made? Sums over what the kernel dumps, in which the order does not matter. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "cleanup.h"
#include "netsets.h"
#include "str.h"

#pragma GCC diagnostic ignored "-Wconversion" /* in libmnl's loops */

/* FNV-1a: it is accidents that we look for, and root of the host could do worse than to find a collision. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h;
}

static uint64_t element(const char *set, const void *key, size_t key_len, const void *data, size_t data_len, uint32_t flags)
{
	uint64_t h = mix(mix(0xcbf29ce484222325, set, strlen(set)), key, key_len);

	return mix(mix(h, data, data_len), &flags, sizeof(flags));
}

struct look {
	const char *table, *set;
	unsigned type;
	uint64_t sum;
};

/* A counter's numbers change by themselves. */
static bool is_counter(const struct nlattr *expr)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, expr)
		if (mnl_attr_get_type(a) == NFTA_EXPR_NAME)
			return qt_streq(mnl_attr_get_str(a), "counter");
	return false;
}

/* What stays the same while nobody touches it: no numbers of users or elements. */
static bool is_stable(unsigned type, unsigned attr)
{
	switch (type) {
	case NFT_MSG_GETTABLE:
		return attr == NFTA_TABLE_FLAGS;
	case NFT_MSG_GETCHAIN:
		return attr != NFTA_CHAIN_USE && attr != NFTA_CHAIN_COUNTERS;
	case NFT_MSG_GETSET:
		return attr <= NFTA_SET_DATA_LEN || attr == NFTA_SET_HANDLE;
	default:
		return true;
	}
}

static int on_object(const struct nlmsghdr *h, void *arg)
{
	struct look *k = arg;
	uint64_t sum = k->type;
	const struct nlattr *a, *x;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) {
		unsigned attr = mnl_attr_get_type(a);

		/* The kernel lists chains of all tables. The first attribute of each is the table's name. */
		if (attr == NFTA_TABLE_NAME && !qt_streq(mnl_attr_get_str(a), k->table))
			return MNL_CB_OK;
		if (k->type == NFT_MSG_GETRULE && attr == NFTA_RULE_EXPRESSIONS) {
			mnl_attr_for_each_nested(x, a)
				if (!is_counter(x))
					sum = mix(sum, x, mnl_attr_get_len(x));
		} else if (is_stable(k->type, attr)) {
			sum = mix(sum, a, mnl_attr_get_len(a));
		}
	}
	k->sum += sum;
	return MNL_CB_OK;
}

static const struct nlattr *value_in(const struct nlattr *outer)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, outer)
		if (mnl_attr_get_type(a) == NFTA_DATA_VALUE)
			return a;
	return NULL;
}

static uint64_t one_element(const char *set, const struct nlattr *el)
{
	const struct nlattr *a, *key = NULL, *data = NULL;
	uint32_t flags = 0;

	mnl_attr_for_each_nested(a, el) {
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_KEY)
			key = value_in(a);
		else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_DATA)
			data = value_in(a);
		else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_FLAGS)
			flags = ntohl(mnl_attr_get_u32(a));
	}
	return element(set, key ? mnl_attr_get_payload(key) : "", key ? mnl_attr_get_payload_len(key) : 0,
		       data ? mnl_attr_get_payload(data) : "", data ? mnl_attr_get_payload_len(data) : 0, flags);
}

static int on_elements(const struct nlmsghdr *h, void *arg)
{
	struct look *k = arg;
	const struct nlattr *a, *el;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS)
			mnl_attr_for_each_nested(el, a)
				k->sum += one_element(k->set, el);
	return MNL_CB_OK;
}

static int sum_up(struct rt_nft *n, const struct rt_rules *r, unsigned type, const char *set, uint64_t *sum, struct qt_err *e)
{
	struct look k = {r->table, set, type, 0};

	if (rt_nft_ask(n, (uint16_t)type, type == NFT_MSG_GETTABLE ? 0 : NLM_F_DUMP, r->table, set, set ? on_elements : on_object, &k, e) < 0)
		return -1;
	*sum += k.sum;
	return 0;
}

int rt_rules_print(struct rt_nft *n, const struct rt_rules *r, struct rt_print *ret, struct qt_err *e)
{
	static const unsigned objects[] = {NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETSET, NFT_MSG_GETRULE};
	static const char *const fixed[] = {RT_SET_PRIV, RT_SET_DNS}, *const moving[] = {RT_SET_SRC, RT_SET_TENANT, RT_SET_MEMBER};
	struct rt_print p = {0};

	for (size_t i = 0; i < QT_LEN(objects); i++)
		if (sum_up(n, r, objects[i], NULL, &p.fixed, e) < 0)
			return -1;
	for (size_t i = 0; i < QT_LEN(fixed); i++)
		if (sum_up(n, r, NFT_MSG_GETSETELEM, fixed[i], &p.fixed, e) < 0)
			return -1;
	for (size_t i = 0; i < QT_LEN(moving); i++)
		if (sum_up(n, r, NFT_MSG_GETSETELEM, moving[i], &p.moving, e) < 0)
			return -1;
	*ret = p;
	return 0;
}

uint64_t rt_rules_print_of(const struct rt_element *els, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct rt_element_keys k;

		rt_element_keys(&k, &els[i]);
		sum += element(RT_SET_SRC, k.link_ip, sizeof(k.link_ip), "", 0, 0) +
		       element(RT_SET_TENANT, &k.pair[1], sizeof(k.pair[1]), &k.pair[0], sizeof(k.pair[0]), 0) +
		       element(RT_SET_MEMBER, k.pair, sizeof(k.pair), "", 0, 0);
	}
	return sum;
}
