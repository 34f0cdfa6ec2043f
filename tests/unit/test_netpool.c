/* Addresses: as text, as networks, as a pool; and the nameservers of a resolv.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "netaddr.h"
#include "netdns.h"
#include "netpool.h"
#include "str.h"

static void text_and_back(void **state)
{
	static const char *const good[] = {"0.0.0.0", "10.42.0.17", "255.255.255.255", "169.254.1.1"};
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4", "1.2.3.x", "::1"};
	uint32_t ip = 7;
	char out[16];

	(void)state;
	for (size_t i = 0; i < QT_LEN(good); i++) {
		assert_true(rt_net_parse(&ip, good[i]));
		rt_net_text(out, sizeof(out), ip);
		assert_string_equal(out, good[i]);
	}
	ip = 7;
	for (size_t i = 0; i < QT_LEN(bad); i++)
		assert_false(rt_net_parse(&ip, bad[i]));
	assert_int_equal(ip, 7);
}

static void networks(void **state)
{
	static const char *const bad[] = {"10.42.0.0", "10.42.0.0/", "10.42.0.0/33", "10.42.0.0/-1", "10.42.0.1/16", "10.42.0.0/16 ",
					  "/16", "1234567890.42.0.0/16", "10.42.0.0/1/6"};
	struct rt_cidr c = {1, 1};

	(void)state;
	for (size_t i = 0; i < QT_LEN(bad); i++)
		assert_false(rt_cidr_parse(&c, bad[i]));
	assert_int_equal(c.bits, 1);
	assert_true(rt_cidr_parse(&c, "10.42.0.0/16"));
	assert_int_equal(c.base, 0x0a2a0000);
	assert_int_equal(rt_cidr_mask(&c), 0xffff0000);
	assert_true(rt_cidr_has(&c, 0x0a2affff) && !rt_cidr_has(&c, 0x0a2b0000) && !rt_cidr_has(&c, 0x0a29ffff));
	assert_true(rt_cidr_parse(&c, "0.0.0.0/0"));
	assert_int_equal(rt_cidr_mask(&c), 0);
	assert_true(rt_cidr_has(&c, UINT32_MAX));
	assert_true(rt_cidr_parse(&c, "1.2.3.4/32"));
	assert_true(rt_cidr_has(&c, 0x01020304) && !rt_cidr_has(&c, 0x01020305));
}

static bool never(void *arg, const char *link)
{
	(void)arg;
	(void)link;
	return false;
}

static bool lingers(void *arg, const char *link)
{
	return qt_streq(arg, link);
}

static struct rt_pool *pool(const char *net, uint32_t gateway, uint32_t start)
{
	struct rt_pool *p = NULL;
	struct qt_err e = {0};
	struct rt_cidr c;

	assert_true(rt_cidr_parse(&c, net));
	assert_int_equal(rt_pool_new(&p, &c, gateway, "qu", start, &e), 0);
	return p;
}

static void routes(void **state)
{
	static const char *const good[] = {"10.0.0.0/8", "1.0.0.0/8", "8.8.8.8/32", "169.255.0.0/16", "223.255.255.0/24", "128.0.0.0/3"};
	static const char *const bad[] = {"",		 "10.0.0.0",	   "10.0.0.1/8",  "10.0.0.0/33", "0.0.0.0/0",	"0.0.0.0/8",
					  "0.1.0.0/16",	 "127.0.0.1/32",   "96.0.0.0/3",  "169.254.0.0/16", "169.254.169.254/32",
					  "168.0.0.0/5", "224.0.0.0/4",	   "255.255.255.255/32", "192.0.0.0/2", "::/1",	"10.0.0.0/8 "};
	struct rt_cidr c;

	(void)state;
	for (size_t i = 0; i < QT_LEN(good); i++) {
		struct qt_err e = {0};

		assert_int_equal(rt_route_parse(&c, good[i], &e), 0);
	}
	for (size_t i = 0; i < QT_LEN(bad); i++) {
		struct qt_err e = {0};

		if (rt_route_parse(&c, bad[i], &e) == 0)
			fail_msg("%s", bad[i]);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		assert_string_equal(e.field, "/destination");
	}
}

static void a_chosen_one(void **state)
{
	const struct rt_cidr net = {0x0a4d0000, 24};
	struct rt_addr a, b;
	struct rt_pool *p;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(rt_pool_new(&p, &net, 0x0a4d0001, "qt", 7, &e), 0);
	assert_int_equal(rt_pool_take_ip(p, 0x0a4d0011, &a, &e), 0);
	assert_true(rt_pool_has(p, &a) && rt_link_ok("qt", a.link));
	assert_int_equal(rt_pool_take_ip(p, 0x0a4d0011, &b, &e), -1);
	assert_int_equal(e.code, QT_E_CONFLICT);
	for (size_t i = 0; i < 4; i++) {
		static const uint32_t none[] = {0x0a4d0000, 0x0a4d00ff, 0x0a4d0001, 0x0a4d0111};

		qt_err_reset(&e);
		assert_int_equal(rt_pool_take_ip(p, none[i], &b, &e), -1);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
	}
	rt_pool_free(p);
}

static void bad_pools(void **state)
{
	static const struct {
		const char *net, *prefix;
	} bad[] = {{"10.0.0.0/8", "q"}, {"10.0.0.0/31", "q"}, {"10.0.0.0/16", ""}, {"10.0.0.0/16", "Q"}, {"10.0.0.0/16", "abcdef"}};

	(void)state;
	for (size_t i = 0; i < QT_LEN(bad); i++) {
		struct rt_pool *p = NULL;
		struct qt_err e = {0};
		struct rt_cidr c;

		assert_true(rt_cidr_parse(&c, bad[i].net));
		assert_int_equal(rt_pool_new(&p, &c, 0, bad[i].prefix, 0, &e), -1);
		assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
		assert_null(p);
	}
}

static void all_but_the_ends(void **state)
{
	struct rt_pool *p = pool("10.9.0.0/28", 0x0a090001, 5); /* 16 addresses: without .0, .15 and the gateway, 13 */
	struct rt_addr a[13], b;
	struct qt_err e = {0};
	bool seen[16] = {false};

	(void)state;
	for (size_t i = 0; i < QT_LEN(a); i++) {
		assert_int_equal(rt_pool_take(p, never, NULL, &a[i], &e), 0);
		assert_true(a[i].ip > 0x0a090001 && a[i].ip < 0x0a09000f);
		assert_false(seen[a[i].ip & 15]);
		seen[a[i].ip & 15] = true;
		assert_true(rt_link_ok("qu", a[i].link));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(a[i].link, a[k].link);
	}
	assert_int_equal(a[0].ip, 0x0a090005);
	assert_int_equal(rt_pool_take(p, never, NULL, &b, &e), -1);
	assert_int_equal(e.code, QT_E_CAPACITY_FULL);
	for (size_t i = 0; i < QT_LEN(a); i++) {
		assert_true(rt_pool_has(p, &a[i]));
		rt_pool_give(p, &a[i]);
		rt_pool_give(p, &a[i]);
		assert_false(rt_pool_has(p, &a[i]));
	}
	rt_pool_free(p);
}

static void a_freed_one_waits_longest(void **state)
{
	struct rt_pool *p = pool("10.9.0.0/29", 0, 0); /* six */
	struct rt_addr first, again, other;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(rt_pool_take(p, never, NULL, &first, &e), 0);
	rt_pool_give(p, &first);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(rt_pool_take(p, never, NULL, &other, &e), 0);
		assert_int_not_equal(other.ip, first.ip);
	}
	/* Its link is still there: rather none at all. */
	assert_int_equal(rt_pool_take(p, lingers, first.link, &again, &e), -1);
	assert_int_equal(e.code, QT_E_CAPACITY_FULL);
	qt_err_reset(&e);
	assert_int_equal(rt_pool_take(p, lingers, other.link, &again, &e), 0);
	assert_int_equal(again.ip, first.ip);
	assert_string_not_equal(again.link, first.link);
	/* Whoever still holds the old pair cannot give the new one back. */
	rt_pool_give(p, &first);
	assert_true(rt_pool_has(p, &again));
	rt_pool_free(p);
}

static void remembered_ones(void **state)
{
	static const struct {
		uint32_t ip;
		const char *link;
	} bad[] = {
		{0x0a090000, "qu0123456789"}, /* the first */
		{0x0a0900ff, "qu0123456789"}, /* the last */
		{0x0a090001, "qu0123456789"}, /* the gateway */
		{0x0a090102, "qu0123456789"}, /* another network */
		{0x0a090007, "eth0"},	      /* a stranger's link */
		{0x0a090007, "qu012345678"},
		{0x0a090007, "qu012345678A"},
		{0x0a090007, "qu01234567890"},
		{0x0a090005, "qu1111111111"}, /* taken */
		{0x0a090007, "qu0123456789"}, /* its link is */
	};
	struct rt_pool *p = pool("10.9.0.0/24", 0x0a090001, 5);
	struct rt_addr a = {0x0a090005, "qu0123456789"}, b;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(rt_pool_take_this(p, &a, &e), 0);
	for (size_t i = 0; i < QT_LEN(bad); i++) {
		struct rt_addr c = {.ip = bad[i].ip};

		(void)qt_copy(c.link, sizeof(c.link), bad[i].link);
		assert_int_equal(rt_pool_take_this(p, &c, &e), -1);
		assert_int_equal(e.code, QT_E_CONFLICT);
		qt_err_reset(&e);
	}
	assert_int_equal(rt_pool_take(p, never, NULL, &b, &e), 0);
	assert_int_equal(b.ip, 0x0a090006);
	rt_pool_give(p, &a);
	assert_int_equal(rt_pool_take_this(p, &a, &e), 0);
	rt_pool_free(p);
}

static void nameservers(void **state)
{
	uint32_t ip[RT_DNS_MAX];
	struct qt_err e = {0};
	struct qt_conf c;
	char text[128];

	(void)state;
	assert_int_equal(rt_dns_scan("", ip), 0);
	assert_int_equal(rt_dns_scan("# nameserver 9.9.9.9\nsearch a\nnameserver 127.0.0.53\nnameserver\nnameserver ::1\n"
				     "nameserver\t10.0.0.1 \r\nnameserver 1.1.1.1\noptions x\nnameserver 8.8.8.8\nnameserver 8.8.4.4",
				     ip),
			 3);
	assert_int_equal(ip[0], 0x0a000001);
	assert_int_equal(ip[1], 0x01010101);
	assert_int_equal(ip[2], 0x08080808);

	qt_conf_defaults(&c);
	assert_int_equal(qt_conf_set(&c, "nameservers", "10.0.0.1, 9.9.9.9", &e), 0);
	assert_int_equal(rt_dns_servers(&c, ip, &e), 2);
	assert_int_equal(rt_net_resolv_conf(&c, text, sizeof(text)), 0);
	assert_string_equal(text, "nameserver 169.254.1.1\nsearch quilt.internal\n");
	assert_int_equal(qt_conf_set(&c, "dns_domain", "a b\n", &e), 0);
	assert_int_equal(rt_net_resolv_conf(&c, text, sizeof(text)), -1);
	assert_int_equal(qt_conf_set(&c, "dns", "0", &e), 0);
	assert_int_equal(rt_net_resolv_conf(&c, text, sizeof(text)), 0);
	assert_string_equal(text, "nameserver 10.0.0.1\nnameserver 9.9.9.9\n");
	assert_int_equal(rt_net_resolv_conf(&c, text, 30), -1);
	assert_int_equal(qt_conf_set(&c, "nameservers", "127.0.0.1", &e), 0);
	assert_int_equal(rt_dns_servers(&c, ip, &e), -1);
	assert_int_equal(e.code, QT_E_VALIDATION_ERROR);
	assert_int_equal(rt_net_resolv_conf(&c, text, sizeof(text)), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),    cmocka_unit_test(networks),
		cmocka_unit_test(bad_pools),	    cmocka_unit_test(all_but_the_ends),
		cmocka_unit_test(remembered_ones),  cmocka_unit_test(a_freed_one_waits_longest),
		cmocka_unit_test(nameservers),	    cmocka_unit_test(routes),
		cmocka_unit_test(a_chosen_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
