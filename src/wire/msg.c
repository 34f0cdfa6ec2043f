#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "str.h"

/* The tables, two an operation. Each ends with an empty row, since ISO C has no empty array. */
#define ROW(S, type, name, max)	  {#name, RT_F_##type, offsetof(struct S, name), max},
#define COUNT(S, type, name, max) +1
#define RT_OP(SYM, name, fin, fout, doc)                                                              \
	static const struct rt_field req_##name[] = {RT_REQ_##SYM(ROW, rt_##name##_req){NULL, 0, 0, 0}}; \
	static const struct rt_field rep_##name[] = {RT_REP_##SYM(ROW, rt_##name##_rep){NULL, 0, 0, 0}};
RT_OPS(RT_OP)
#undef RT_OP

const struct rt_op_shape rt_shapes[RT_OP_COUNT] = {
#define RT_OP(SYM, name_, fin, fout, doc_)                            \
	[RT_##SYM] = {.name = #name_,                                 \
		      .doc = doc_,                                    \
		      .req = req_##name_,                             \
		      .rep = rep_##name_,                             \
		      .n_req = 0 RT_REQ_##SYM(COUNT, _),              \
		      .n_rep = 0 RT_REP_##SYM(COUNT, _),              \
		      .fds_in = fin,                                  \
		      .fds_out = fout,                                \
		      .req_size = sizeof(struct rt_##name_##_req),    \
		      .rep_size = sizeof(struct rt_##name_##_rep)},
	RT_OPS(RT_OP)
#undef RT_OP
};

struct cursor {
	unsigned char *p;
	size_t left;
};

static bool put(struct cursor *c, const void *data, size_t len)
{
	if (len > c->left)
		return false;
	if (len > 0)
		memcpy(c->p, data, len);
	c->p += len;
	c->left -= len;
	return true;
}

static bool take(struct cursor *c, void *data, size_t len)
{
	if (len > c->left)
		return false;
	memcpy(data, c->p, len);
	c->p += len;
	c->left -= len;
	return true;
}

/* A list is well formed when it is empty, or ends with NUL; the number of its texts follows. */
static bool strv_ok(const char *s, uint32_t len, uint32_t *n)
{
	*n = 0;
	if (len == 0)
		return true;
	if (s[len - 1] != '\0')
		return false;
	for (uint32_t i = 0; i < len; i++)
		*n += s[i] == '\0';
	return true;
}

static bool encode_field(struct cursor *c, const struct rt_field *f, const void *at)
{
	uint32_t n, len;

	switch (f->type) {
	case RT_F_U32:
		return put(c, at, sizeof(uint32_t));
	case RT_F_U64:
		return put(c, at, sizeof(uint64_t));
	case RT_F_ID: {
		const struct qt_id *id = at;

		len = (uint32_t)strlen(id->s) + 1;
		return put(c, &len, sizeof(len)) && put(c, id->s, len);
	}
	case RT_F_STR: {
		const struct rt_str *s = at;

		if (s->len > f->max || (s->len > 0 && memchr(s->s, '\0', s->len)))
			return false;
		len = s->len + 1;
		return put(c, &len, sizeof(len)) && put(c, s->s, s->len) && put(c, "", 1);
	}
	case RT_F_BLOB: {
		const struct rt_str *s = at;

		return s->len <= f->max && put(c, &s->len, sizeof(s->len)) && put(c, s->s, s->len);
	}
	case RT_F_STRV: {
		const struct rt_strv *v = at;

		return v->len <= f->max && strv_ok(v->s, v->len, &n) && put(c, &v->len, sizeof(v->len)) &&
		       put(c, v->s, v->len);
	}
	}
	return false;
}

int rt_encode(void *buf, size_t size, const struct rt_head *head, const struct rt_field *fields, size_t n,
	      const void *struct_, struct qt_err *e)
{
	struct cursor c = {buf, size < RT_MSG_MAX ? size : RT_MSG_MAX};
	size_t whole = c.left;

	if (!put(&c, head, sizeof(*head)))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "message too large");
	for (size_t i = 0; i < n; i++)
		if (!encode_field(&c, &fields[i], (const char *)struct_ + fields[i].off))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "%s is too large", fields[i].name);
	return (int)(whole - c.left);
}

/* An error travels as msg, field, expected, received, state: five texts, and the errno. */
struct wire_error {
	struct rt_str msg, field, expected, received, state;
	uint32_t sys;
};
static const struct rt_field error_rows[] = {
	{"msg", RT_F_STR, offsetof(struct wire_error, msg), 255},
	{"field", RT_F_STR, offsetof(struct wire_error, field), 95},
	{"expected", RT_F_STR, offsetof(struct wire_error, expected), 191},
	{"received", RT_F_STR, offsetof(struct wire_error, received), 63},
	{"state", RT_F_STR, offsetof(struct wire_error, state), 15},
	{"sys", RT_F_U32, offsetof(struct wire_error, sys), 0},
};
#define N_ERROR_ROWS (sizeof(error_rows) / sizeof(error_rows[0]))

int rt_encode_error(void *buf, size_t size, const struct rt_head *head, const struct qt_err *err)
{
	struct wire_error w = {rt_str(err->msg),      rt_str(err->field), rt_str(err->expected),
			       rt_str(err->received), rt_str(err->state), (uint32_t)err->sys};
	struct rt_head h = *head;
	struct qt_err ignored = {0};

	h.code = (uint16_t)err->code;
	return rt_encode(buf, size, &h, error_rows, N_ERROR_ROWS, &w, &ignored);
}

int rt_decode_head(struct rt_head *ret, const void *buf, size_t len, struct qt_err *e)
{
	if (len < sizeof(*ret))
		return qt_fail(e, QT_E_BAD_REQUEST, "a message of %zu bytes", len);
	memcpy(ret, buf, sizeof(*ret));
	if (ret->magic != RT_MAGIC)
		return qt_fail(e, QT_E_BAD_REQUEST, "not a message of this protocol");
	return 0;
}

static bool decode_field(struct cursor *c, const struct rt_field *f, void *at)
{
	uint32_t len, n;

	if (f->type == RT_F_U32)
		return take(c, at, sizeof(uint32_t));
	if (f->type == RT_F_U64)
		return take(c, at, sizeof(uint64_t));
	if (!take(c, &len, sizeof(len)) || len > c->left)
		return false;

	const char *s = (const char *)c->p;

	c->p += len;
	c->left -= len;
	switch (f->type) {
	case RT_F_ID:
		return len > 0 && memchr(s, '\0', len) == s + len - 1 && qt_id_parse(at, NULL, s);
	case RT_F_STR:
		if (len == 0 || len - 1 > f->max || memchr(s, '\0', len) != s + len - 1)
			return false;
		*(struct rt_str *)at = (struct rt_str){s, len - 1};
		return true;
	case RT_F_BLOB:
		if (len > f->max)
			return false;
		*(struct rt_str *)at = (struct rt_str){s, len};
		return true;
	case RT_F_STRV:
		if (len > f->max || !strv_ok(s, len, &n))
			return false;
		*(struct rt_strv *)at = (struct rt_strv){s, len, n};
		return true;
	case RT_F_U32:
	case RT_F_U64:
		break;
	}
	return false;
}

int rt_decode(void *ret, size_t ret_size, const struct rt_field *fields, size_t n, const void *buf, size_t len,
	      struct qt_err *e)
{
	struct cursor c = {(unsigned char *)(uintptr_t)buf, len};
	struct rt_head head;

	memset(ret, 0, ret_size);
	if (!take(&c, &head, sizeof(head)))
		return qt_fail(e, QT_E_BAD_REQUEST, "a message of %zu bytes", len);
	for (size_t i = 0; i < n; i++)
		if (!decode_field(&c, &fields[i], (char *)ret + fields[i].off))
			return qt_fail(e, QT_E_BAD_REQUEST, "bad field %s", fields[i].name);
	if (c.left != 0)
		return qt_fail(e, QT_E_BAD_REQUEST, "%zu bytes too many", c.left);
	return 0;
}

void rt_decode_error(struct qt_err *ret, const struct rt_head *head, const void *buf, size_t len)
{
	struct qt_err bad = {0};
	struct wire_error w;

	qt_err_reset(ret);
	if (head->code == QT_OK || head->code >= QT_CODE_COUNT ||
	    rt_decode(&w, sizeof(w), error_rows, N_ERROR_ROWS, buf, len, &bad) < 0) {
		(void)qt_fail(ret, QT_E_RUNTIME_UNAVAILABLE, "the runtime's answer cannot be read");
		return;
	}
	ret->code = (enum qt_code)head->code;
	ret->sys = (int)w.sys;
	(void)qt_copy(ret->msg, sizeof(ret->msg), w.msg.s);
	(void)qt_copy(ret->field, sizeof(ret->field), w.field.s);
	(void)qt_copy(ret->expected, sizeof(ret->expected), w.expected.s);
	(void)qt_copy(ret->received, sizeof(ret->received), w.received.s);
	(void)qt_copy(ret->state, sizeof(ret->state), w.state.s);
}

/* The text of a field, which begins with its pointer in all three types; *LEN with the NUL behind a text. */
static const char **text_of(const struct rt_field *f, void *at, size_t *len)
{
	switch (f->type) {
	case RT_F_STR:
	case RT_F_BLOB:
		*len = ((struct rt_str *)at)->len + 1U;
		return &((struct rt_str *)at)->s;
	case RT_F_STRV:
		*len = ((struct rt_strv *)at)->len + 1U;
		return &((struct rt_strv *)at)->s;
	case RT_F_U32:
	case RT_F_U64:
	case RT_F_ID:
		break;
	}
	return NULL;
}

void *rt_dup(const struct rt_field *fields, size_t n, const void *struct_, size_t size)
{
	size_t sum = size, len;
	char *copy, *at;

	for (size_t i = 0; i < n; i++)
		if (text_of(&fields[i], (char *)(uintptr_t)struct_ + fields[i].off, &len))
			sum += len;
	copy = malloc(sum);
	if (!copy)
		return NULL;
	memcpy(copy, struct_, size);
	at = copy + size;
	for (size_t i = 0; i < n; i++) {
		const char **text = text_of(&fields[i], copy + fields[i].off, &len);

		if (!text)
			continue;
		/* The byte behind a list or a blob is not the sender's. */
		if (len > 1)
			memcpy(at, *text, len - 1);
		at[len - 1] = '\0';
		*text = at;
		at += len;
	}
	return copy;
}

bool rt_strv_add(struct rt_strv *v, char *buf, size_t size, const char *text)
{
	size_t len = strlen(text) + 1;

	if (len > size || v->len > size - len)
		return false;
	memcpy(buf + v->len, text, len);
	v->s = buf;
	v->len += (uint32_t)len;
	v->n++;
	return true;
}

const char *rt_strv_next(const struct rt_strv *v, const char *prev)
{
	const char *next = prev ? prev + strlen(prev) + 1 : v->s;

	return v->len > 0 && next < v->s + v->len ? next : NULL;
}

bool rt_strv_has(const struct rt_strv *v, const char *text)
{
	const char *p = NULL;

	while ((p = rt_strv_next(v, p)))
		if (strcmp(p, text) == 0)
			return true;
	return false;
}

struct rt_str rt_str(const char *text)
{
	return (struct rt_str){text, (uint32_t)strlen(text)};
}

void rt_layer_name(char *out, const struct qt_id *image)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = strchr(image->s, '_');
	size_t n = p ? strlen(++p) : 0, at = RT_LAYER_NAME_MAX - 2 * n; /* qt_id: 32 of them at most */

	memset(out, '0', RT_LAYER_NAME_MAX);
	for (size_t i = 0; i < n; i++) {
		out[at + 2 * i] = digits[(unsigned char)p[i] >> 4];
		out[at + 2 * i + 1] = digits[(unsigned char)p[i] & 15];
	}
	out[RT_LAYER_NAME_MAX] = '\0';
}
