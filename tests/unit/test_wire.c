/* The runtime's protocol: every operation there and back, and what is damaged on the way is refused or means what its bytes say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "msg.h"
#include "str.h"

/* A struct of any operation, and what its texts point to. */
struct any {
	_Alignas(16) char bytes[1024];
	char text[32][104];
};

static uint32_t next(uint32_t *seed)
{
	return *seed = *seed * 1664525U + 1013904223U;
}

/* Every field gets a value that depends on SEED. */
static void fill(struct any *a, const struct rt_field *f, size_t n, uint32_t seed)
{
	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < n; i++) {
		char *text = a->text[i];
		void *at = a->bytes + f[i].off;
		uint32_t len = next(&seed) % 100;

		len = len < f[i].max ? len : f[i].max;
		memset(text, 'a' + (int)(i % 26), len);
		text[len] = '\0';
		switch (f[i].type) {
		case RT_F_U32: {
			uint32_t v = next(&seed);

			memcpy(at, &v, sizeof(v));
			break;
		}
		case RT_F_U64: {
			uint64_t v = (uint64_t)next(&seed) << 32 | next(&seed);

			memcpy(at, &v, sizeof(v));
			break;
		}
		case RT_F_ID:
			assert_true(qt_id_parse(at, NULL, "ctr_0123456789abcdefghjkmnpqrs"));
			break;
		case RT_F_STR:
		case RT_F_BLOB:
			*(struct rt_str *)at = (struct rt_str){text, len};
			break;
		case RT_F_STRV:
			if (len > 0)
				text[len / 2] = text[len - 1] = '\0';
			*(struct rt_strv *)at = (struct rt_strv){text, len, len > 1 ? 2 : len};
			break;
		}
	}
}

static void there_and_back(const struct rt_op_shape *s, const struct rt_field *f, size_t n, size_t size, enum rt_op op)
{
	const struct rt_head head = {.magic = RT_MAGIC, .op = (uint16_t)op, .serial = 77};
	static char one[RT_MSG_MAX + 1], two[RT_MSG_MAX], bad[RT_MSG_MAX];

	for (uint32_t seed = 1; seed < 20; seed++) {
		struct any in, out = {{0}, {{0}}};
		struct qt_err e = {0};
		struct rt_head h;
		int len, again;

		fill(&in, f, n, seed);
		len = rt_encode(one, RT_MSG_MAX, &head, f, n, in.bytes, &e);
		if (len < 0 || len > (int)RT_MSG_MAX)
			fail_msg("%s: %s", s->name, e.msg);
		assert_int_equal(rt_decode_head(&h, one, (size_t)len, &e), 0);
		assert_memory_equal(&h, &head, sizeof(h));
		assert_true(size <= sizeof(out.bytes));
		assert_int_equal(rt_decode(out.bytes, size, f, n, one, (size_t)len, &e), 0);
		again = rt_encode(two, sizeof(two), &head, f, n, out.bytes, &e);
		assert_int_equal(again, len);
		assert_memory_equal(one, two, (size_t)len);
		/* No shorter one is a message, and no longer one. */
		for (int cut = 0; cut < len; cut++) {
			qt_err_reset(&e);
			assert_int_equal(rt_decode(out.bytes, size, f, n, one, (size_t)cut, &e), -1);
		}
		one[len] = 0;
		assert_int_equal(rt_decode(out.bytes, size, f, n, one, (size_t)len + 1, &e), -1);
		/* One bit wrong: refused, or read as exactly what stands there. In memory of the message's own size, so that a sanitizer sees a
		 * step too far. */
		for (int bit = (int)sizeof(h) * 8; bit < len * 8; bit++) {
			auto_free char *exact = malloc((size_t)len);

			assert_non_null(exact);
			memcpy(exact, one, (size_t)len);
			exact[bit / 8] = (char)(exact[bit / 8] ^ 1 << bit % 8);
			qt_err_reset(&e);
			if (rt_decode(out.bytes, size, f, n, exact, (size_t)len, &e) < 0)
				continue;
			assert_int_equal(rt_encode(bad, sizeof(bad), &head, f, n, out.bytes, &e), len);
			assert_memory_equal(bad, exact, (size_t)len);
		}
	}
}

static void every_operation(void **state)
{
	(void)state;
	for (int op = 1; op < RT_OP_COUNT; op++) {
		const struct rt_op_shape *s = &rt_shapes[op];

		assert_non_null(s->name);
		assert_true(s->doc[0] != '\0');
		there_and_back(s, s->req, s->n_req, s->req_size, (enum rt_op)op);
		there_and_back(s, s->rep, s->n_rep, s->rep_size, (enum rt_op)op);
	}
	assert_null(rt_shapes[RT_NONE].name);
}

/* The greatest values that the bounds allow fit into a message together. */
static void bounds_fit(void **state)
{
	static char msg[RT_MSG_MAX];
	char *big = calloc(1, RT_MSG_MAX);
	struct rt_head head = {.magic = RT_MAGIC};

	(void)state;
	assert_non_null(big);
	memset(big, 'x', RT_MSG_MAX - 1);
	for (int op = 1; op < RT_OP_COUNT; op++)
		for (int side = 0; side < 2; side++) {
			const struct rt_op_shape *s = &rt_shapes[op];
			const struct rt_field *f = side ? s->rep : s->req;
			size_t n = side ? s->n_rep : s->n_req;
			struct any a;
			struct qt_err e = {0};

			for (int over = 0; over < 2; over++) {
				bool bounded = false;

				fill(&a, f, n, 1);
				for (size_t i = 0; i < n; i++) {
					struct rt_str str = {big + RT_MSG_MAX - 1 - f[i].max - (unsigned)over, f[i].max + (unsigned)over};

					if (f[i].type == RT_F_STR || f[i].type == RT_F_BLOB)
						memcpy(a.bytes + f[i].off, &str, sizeof(str)), bounded = true;
					if (f[i].type == RT_F_STRV)
						*(struct rt_strv *)(void *)(a.bytes + f[i].off) = (struct rt_strv){
							big + RT_MSG_MAX - f[i].max - (unsigned)over, f[i].max + (unsigned)over, 1},
						bounded = true;
				}
				qt_err_reset(&e);
				if (over == 0)
					assert_true(rt_encode(msg, sizeof(msg), &head, f, n, a.bytes, &e) > 0);
				else if (bounded)
					assert_int_equal(rt_encode(msg, sizeof(msg), &head, f, n, a.bytes, &e), -1);
			}
		}
	free(big);
}

static void errors_travel(void **state)
{
	struct rt_head h = {.magic = RT_MAGIC, .op = RT_START, .serial = 5};
	struct qt_err in = {0}, out, e = {0};
	char msg[2048];
	int len;

	(void)state;
	(void)qt_fail_field(&in, QT_E_INVALID_STATE, "/state", "exited", "the container is %s", "running");
	(void)qt_copy(in.state, sizeof(in.state), "running");
	(void)qt_copy(in.received, sizeof(in.received), "x");
	in.sys = 12;
	len = rt_encode_error(msg, sizeof(msg), &h, &in);
	assert_true(len > 0);
	assert_int_equal(rt_decode_head(&h, msg, (size_t)len, &e), 0);
	assert_int_equal(h.code, QT_E_INVALID_STATE);
	rt_decode_error(&out, &h, msg, (size_t)len);
	assert_int_equal(out.code, in.code);
	assert_int_equal(out.sys, in.sys);
	assert_string_equal(out.msg, in.msg);
	assert_string_equal(out.field, in.field);
	assert_string_equal(out.expected, in.expected);
	assert_string_equal(out.received, in.received);
	assert_string_equal(out.state, in.state);
	/* One that cannot be read is an error too, never success. */
	for (int cut = (int)sizeof(h); cut < len; cut++) {
		rt_decode_error(&out, &h, msg, (size_t)cut);
		assert_int_equal(out.code, QT_E_RUNTIME_UNAVAILABLE);
	}
	h.code = QT_CODE_COUNT;
	rt_decode_error(&out, &h, msg, (size_t)len);
	assert_int_equal(out.code, QT_E_RUNTIME_UNAVAILABLE);
}

static void lists(void **state)
{
	struct rt_strv v = {.s = ""};
	char buf[8];
	const char *p = NULL;

	(void)state;
	assert_null(rt_strv_next(&v, NULL));
	assert_true(rt_strv_add(&v, buf, sizeof(buf), "ab"));
	assert_true(rt_strv_add(&v, buf, sizeof(buf), ""));
	assert_true(rt_strv_add(&v, buf, sizeof(buf), "cde"));
	assert_false(rt_strv_add(&v, buf, sizeof(buf), ""));
	assert_int_equal(v.n, 3);
	assert_string_equal(p = rt_strv_next(&v, p), "ab");
	assert_string_equal(p = rt_strv_next(&v, p), "");
	assert_string_equal(p = rt_strv_next(&v, p), "cde");
	assert_null(rt_strv_next(&v, p));
	assert_true(rt_strv_has(&v, "cde"));
	assert_true(rt_strv_has(&v, ""));
	assert_false(rt_strv_has(&v, "cd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_operation),
		cmocka_unit_test(bounds_fit),
		cmocka_unit_test(errors_travel),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
