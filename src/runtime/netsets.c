#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "cleanup.h"
#include "netsets.h"
#include "str.h"

/* Type numbers mean nothing to the kernel: they are nft's, so that `nft list` prints what is meant. */
#define T_IPV4	       7
#define T_MARK	       19
#define T_IFNAME       41
#define T_PAIR(a, b)   ((a) << 6 | (b))
#define ELEMENTS_A_MSG 512 /* of at most 60 bytes: below RT_NFT_MSG_MAX */
#define CONNS_SIZE     65536
#define TALK_KEPT_MS   2000

/* clang-format off */
static const struct set_row {
	const char *name;
	uint32_t flags, key_type, key_len, data_type, data_len, size, keep_ms;
} sets[] = {
	{RT_SET_SRC,    0,                T_PAIR(T_IFNAME, T_IPV4), 20, 0, 0, 0, 0},
	{RT_SET_TENANT, NFT_SET_MAP,      T_IPV4,                    4, T_MARK, 4, 0, 0},
	{RT_SET_MEMBER, 0,                T_PAIR(T_MARK, T_IPV4),    8, 0, 0, 0, 0},
	{RT_SET_PRIV,   NFT_SET_INTERVAL, T_IPV4,                    4, 0, 0, 0, 0},
	{RT_SET_DNS,    0,                T_IPV4,                    4, 0, 0, 0, 0},
	{RT_SET_CONNS,  NFT_SET_EVAL,     T_IPV4,                    4, 0, 0, CONNS_SIZE, 0},
	{RT_SET_TALK,   NFT_SET_EVAL | NFT_SET_TIMEOUT, T_IPV4,      4, 0, 0, CONNS_SIZE, TALK_KEPT_MS},
};

/* Where no container has any business, apart from its own tenant's containers: this host's neighbours, the metadata service of
 * clouds, other people's private networks that this host happens to have a route to. In order, not touching each other. */
static const struct {
	uint32_t first, last;
} priv[] = {
	{0x00000000, 0x00ffffff}, /* 0.0.0.0/8 */
	{0x0a000000, 0x0affffff}, /* 10.0.0.0/8 */
	{0x64400000, 0x647fffff}, /* 100.64.0.0/10 */
	{0x7f000000, 0x7fffffff}, /* 127.0.0.0/8 */
	{0xa9fe0000, 0xa9feffff}, /* 169.254.0.0/16 */
	{0xac100000, 0xac1fffff}, /* 172.16.0.0/12 */
	{0xc0a80000, 0xc0a8ffff}, /* 192.168.0.0/16 */
	{0xc6120000, 0xc613ffff}, /* 198.18.0.0/15 */
	{0xe0000000, 0xffffffff}, /* 224.0.0.0/3: multicast, reserved, broadcast */
};
/* clang-format on */

/* Elements are collected in a libnftnl set and become one message. As with rules, shortage of memory spoils the transaction. */
static struct nftnl_set *new_set(struct rt_nft *n, const struct rt_rules *r, const char *name)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (s && nftnl_set_set_str(s, NFTNL_SET_TABLE, r->table) == 0 && nftnl_set_set_str(s, NFTNL_SET_NAME, name) == 0)
		return s;
	if (s)
		nftnl_set_free(s);
	rt_nft_spoil(n);
	return NULL;
}

static void add_element(struct rt_nft *n, struct nftnl_set *s, const void *key, uint32_t len, uint32_t flags,
			const uint32_t *data)
{
	struct nftnl_set_elem *el = s ? nftnl_set_elem_alloc() : NULL;

	if (!el)
		return rt_nft_spoil(n);
	if (nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, key, len) < 0 ||
	    (data && nftnl_set_elem_set(el, NFTNL_SET_ELEM_DATA, data, sizeof(*data)) < 0))
		rt_nft_spoil(n);
	if (flags)
		nftnl_set_elem_set_u32(el, NFTNL_SET_ELEM_FLAGS, flags);
	nftnl_set_elem_add(s, el);
}

static void put_elements(struct rt_nft *n, bool add, struct nftnl_set *s, const char *what)
{
	struct nlmsghdr *h = rt_nft_msg(n, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0, what);

	if (s)
		nftnl_set_elems_nlmsg_build_payload(h, s);
	rt_nft_msg_done(n, h);
	if (s)
		nftnl_set_free(s);
}

/* The elements that N containers are: a message for each set. */
enum { SRC, TENANT, MEMBER, N_OF_CONTAINERS };
static const char *const of_containers[] = {[SRC] = RT_SET_SRC, [TENANT] = RT_SET_TENANT, [MEMBER] = RT_SET_MEMBER};

void rt_element_keys(struct rt_element_keys *ret, const struct rt_element *el)
{
	uint32_t ip = htonl(el->addr.ip);

	*ret = (struct rt_element_keys){.pair = {el->tenant, ip}};
	memcpy(ret->link_ip, el->addr.link, strnlen(el->addr.link, 16));
	memcpy(ret->link_ip + 16, &ip, sizeof(ip));
}

static void fill(struct rt_nft *n, const struct rt_rules *r, const struct rt_element *els, uint32_t count,
		 struct nftnl_set *out[N_OF_CONTAINERS])
{
	for (size_t s = 0; s < N_OF_CONTAINERS; s++)
		out[s] = new_set(n, r, of_containers[s]);
	for (uint32_t i = 0; i < count; i++) {
		struct rt_element_keys k;

		rt_element_keys(&k, &els[i]);
		add_element(n, out[SRC], k.link_ip, sizeof(k.link_ip), 0, NULL);
		add_element(n, out[TENANT], &k.pair[1], sizeof(k.pair[1]), 0, &k.pair[0]);
		add_element(n, out[MEMBER], k.pair, sizeof(k.pair), 0, NULL);
	}
}

void rt_rules_put_elements(struct rt_nft *n, const struct rt_rules *r, bool add, const struct rt_element *els, uint32_t count)
{
	static const char *const what[] = {
		[SRC] = "elements of " RT_SET_SRC, [TENANT] = "elements of " RT_SET_TENANT, [MEMBER] = "elements of " RT_SET_MEMBER};

	for (uint32_t at = 0; at < count; at += ELEMENTS_A_MSG) {
		struct nftnl_set *them[N_OF_CONTAINERS];

		fill(n, r, els + at, count - at < ELEMENTS_A_MSG ? count - at : ELEMENTS_A_MSG, them);
		for (size_t s = 0; s < N_OF_CONTAINERS; s++)
			put_elements(n, add, them[s], what[s]);
	}
}

int rt_rules_know(struct rt_nft *n, const struct rt_rules *r, const struct rt_element *el, struct qt_err *e)
{
	struct nftnl_set *of[N_OF_CONTAINERS];
	int has = 1;

	fill(n, r, el, 1, of);
	for (size_t s = 0; s < N_OF_CONTAINERS; s++) {
		if (has == 1)
			has = of[s] ? rt_nft_has(n, of[s], e) : qt_fail_sys(e, ENOMEM, "nftables question");
		if (of[s])
			nftnl_set_free(of[s]);
	}
	return has;
}

static void add_range(struct rt_nft *n, struct nftnl_set *s, uint32_t first, uint32_t last)
{
	uint32_t be = htonl(first), end = htonl(last + 1);

	add_element(n, s, &be, sizeof(be), 0, NULL);
	if (last != UINT32_MAX)
		add_element(n, s, &end, sizeof(end), NFT_SET_ELEM_INTERVAL_END, NULL);
}

/* The pool is private too, wherever it lies. Both being CIDR blocks or unions of them, a range of the table either holds the
 * pool or is held by it, or they do not meet. */
static void put_private(struct rt_nft *n, const struct rt_rules *r)
{
	uint32_t first = r->pool.base, last = r->pool.base | ~rt_cidr_mask(&r->pool);
	struct nftnl_set *s = new_set(n, r, RT_SET_PRIV);
	bool held = false;

	for (size_t i = 0; i < QT_LEN(priv); i++) {
		held |= priv[i].first <= first && last <= priv[i].last;
		if (first > priv[i].first || priv[i].last > last || held)
			add_range(n, s, priv[i].first, priv[i].last);
	}
	if (!held)
		add_range(n, s, first, last);
	put_elements(n, true, s, "elements of " RT_SET_PRIV);
}

static void put_set(struct rt_nft *n, const struct rt_rules *r, const struct set_row *row, uint32_t id)
{
	struct nlmsghdr *h = rt_nft_msg(n, NFT_MSG_NEWSET, NLM_F_CREATE, row->name);
	struct nftnl_set *s = new_set(n, r, row->name);

	if (!s)
		return rt_nft_msg_done(n, h);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, row->flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, row->key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, row->key_len);
	if (row->data_len) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, row->data_type);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, row->data_len);
	}
	if (row->keep_ms)
		nftnl_set_set_u64(s, NFTNL_SET_TIMEOUT, row->keep_ms);
	if (row->size)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, row->size);
	nftnl_set_nlmsg_build_payload(h, s);
	rt_nft_msg_done(n, h);
	nftnl_set_free(s);
}

void rt_sets_put_all(struct rt_nft *n, const struct rt_rules *r)
{
	struct nftnl_set *dns;

	for (uint32_t i = 0; i < QT_LEN(sets); i++)
		if (!r->no_count || !(sets[i].flags & NFT_SET_EVAL))
			put_set(n, r, &sets[i], i + 1);
	put_private(n, r);
	if (r->n_dns == 0)
		return;
	dns = new_set(n, r, RT_SET_DNS);
	for (unsigned i = 0; i < r->n_dns; i++) {
		uint32_t ip = htonl(r->dns[i]);

		add_element(n, dns, &ip, sizeof(ip), 0, NULL);
	}
	put_elements(n, true, dns, "elements of " RT_SET_DNS);
}

static void put_table_msg(struct rt_nft *n, const struct rt_rules *r, uint16_t type, bool with_note, const char *what)
{
	struct nlmsghdr *h = rt_nft_msg(n, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, what);
	struct nftnl_udata_buf *note = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct nftnl_table *t = nftnl_table_alloc();

	if (!t || !note || nftnl_table_set_str(t, NFTNL_TABLE_NAME, r->table) < 0) {
		rt_nft_spoil(n);
		goto out;
	}
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	if (with_note) {
		nftnl_udata_put_strz(note, NFTNL_UDATA_TABLE_COMMENT, r->note);
		if (nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, nftnl_udata_buf_data(note), nftnl_udata_buf_len(note)) < 0)
			rt_nft_spoil(n);
	}
	nftnl_table_nlmsg_build_payload(h, t);
out:
	rt_nft_msg_done(n, h);
	if (note)
		nftnl_udata_buf_free(note);
	if (t)
		nftnl_table_free(t);
}

void rt_sets_put_table(struct rt_nft *n, const struct rt_rules *r)
{
	put_table_msg(n, r, NFT_MSG_NEWTABLE, true, "the table");
}

void rt_rules_put_removal(struct rt_nft *n, const struct rt_rules *r)
{
	/* Adding it first makes the removal of a table that is not there succeed. */
	put_table_msg(n, r, NFT_MSG_NEWTABLE, false, "the table");
	put_table_msg(n, r, NFT_MSG_DELTABLE, false, "the removal of the table");
}

static int on_table(const struct nlmsghdr *h, void *arg)
{
	struct nftnl_table *t = nftnl_table_alloc();
	const unsigned char *u;
	uint32_t len = 0;

	if (t && nftnl_table_nlmsg_parse(h, t) == 0) {
		/* type, length, text with its NUL */
		u = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &len);
		if (u && len >= 3 && u[0] == NFTNL_UDATA_TABLE_COMMENT && u[1] >= 1 && u[1] <= len - 2 && u[1 + u[1]] == '\0')
			(void)qt_copy(arg, RT_NOTE_SIZE, (const char *)u + 2);
	}
	if (t)
		nftnl_table_free(t);
	return MNL_CB_OK;
}

int rt_rules_note(struct rt_nft *n, const char *table, char *out, struct qt_err *e)
{
	out[0] = '\0';
	return rt_nft_ask(n, NFT_MSG_GETTABLE, 0, table, NULL, on_table, out, e) < 0 ? -1 : 0;
}
